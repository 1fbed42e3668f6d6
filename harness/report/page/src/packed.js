// Data stand in the page as the program packs them (harness/report/packed.h).

/** The text that was packed: of a zlib stream in base64. */
export async function unpacked(base64) {
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i += 1) bytes[i] = binary.charCodeAt(i);
  if (typeof DecompressionStream === 'undefined') {
    throw new Error('this browser knows no DecompressionStream; those since 2023 do');
  }
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'))).text();
}
