// Runs ONNX graphs on demand. A request is a line of JSON on standard input, its answer a line on
// standard output:
//
//   {"graph": PATH, "trial": KEY,
//    "read": {NAME: {"path": PATH, "shape": [...]}}, "write": {NAME: PATH}}
//   {"shapes": {NAME: [...]}}   or   {"error": TEXT}
//
// Files hold float32 values in row-major order. Outputs that are not written stay here under the
// trial's key, and are inputs of its later requests.
'use strict';

const fs = require('fs');
const readline = require('readline');
const ort = require('onnxruntime-node');

const sessions = new Map();
const kept = new Map();

function session(graph) {
  if (!sessions.has(graph)) {
    sessions.set(graph, ort.InferenceSession.create(graph, {intraOpNumThreads: 2}));
  }
  return sessions.get(graph);
}

function readTensor({path, shape}) {
  const bytes = fs.readFileSync(path);
  // A copy, since a Buffer need not begin where a float may.
  const floats = new Float32Array(Uint8Array.from(bytes).buffer);
  return new ort.Tensor('float32', floats, shape);
}

async function answer({graph, trial, read, write}) {
  const runner = await session(graph);
  if (!kept.has(trial)) kept.set(trial, new Map());
  const own = kept.get(trial);
  const feeds = {};
  for (const name of runner.inputNames) {
    feeds[name] = name in read ? readTensor(read[name]) : own.get(name);
    if (feeds[name] === undefined) throw new Error(`${graph}: nothing gives the input ${name}`);
  }
  const shapes = {};
  for (const [name, tensor] of Object.entries(await runner.run(feeds))) {
    if (name in write) {
      const {buffer, byteOffset, byteLength} = tensor.data;
      fs.writeFileSync(write[name], Buffer.from(buffer, byteOffset, byteLength));
      shapes[name] = tensor.dims;
    } else {
      own.set(name, tensor);
    }
  }
  return {shapes};
}

(async () => {
  for await (const line of readline.createInterface({input: process.stdin})) {
    let reply;
    try {
      reply = await answer(JSON.parse(line));
    } catch (error) {
      reply = {error: String(error)};
    }
    process.stdout.write(JSON.stringify(reply) + '\n');
  }
})();
