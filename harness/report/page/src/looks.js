// Colour, marker and line of every variant, the same as in the figures of plots/.
import { md5 } from '@noble/hashes/legacy';
import looks from '../../../../plots/looks.json';
import { natural } from './format.js';

export const grey = looks.grey;

/** Numbers of colour, marker and line of a variant's name, as `family_look` of plots/common.py. */
export function familyLook(family) {
  const digest = md5(new TextEncoder().encode(`${looks.salt}:${family}`));
  let number = 0n;
  for (const byte of digest.slice(0, 8)) number = number * 256n + BigInt(byte);
  const [colours, markers, lines] = [looks.colours, looks.markers, looks.lines].map((x) => BigInt(x.length));
  return [number % colours, (number / colours) % markers, (number / (colours * markers)) % lines].map(Number);
}

function lookOf(family, rank) {
  const fill = looks.fills[rank % looks.fills.length];
  if (family === 'dense') return { colour: null, marker: 'o', dashes: [], width: 2, fill };
  const [colour, marker, line] = familyLook(family);
  return { colour, marker: looks.markers[marker], dashes: looks.lines[line], width: 1.3, fill };
}

/** Looks of all variants of a page; parameters of one family differ by how their markers are filled. */
export function looksOf(rows) {
  const families = new Map();
  for (const { family, variant } of rows) {
    if (!families.has(family)) families.set(family, new Set());
    families.get(family).add(variant);
  }
  const found = new Map();
  for (const [family, variants] of families) {
    [...variants].sort(natural).forEach((variant, rank) => found.set(variant, lookOf(family, rank)));
  }
  return found;
}

/** The colour itself: `dense` has that of the text. */
export function colourOf(look, theme) {
  if (look.colour === null) return theme.text;
  return (theme.dark ? looks.colours_on_dark : looks.colours)[look.colour];
}

// Markers by matplotlib's names, within -1 and 1.
const polygon = (...points) => `M${points.map((point) => point.join(' ')).join('L')}Z`;
const around = (corners, radii, turn = 0) => polygon(...Array.from({ length: corners }, (_, i) => {
  const [angle, radius] = [turn + (2 * Math.PI * i) / corners - Math.PI / 2, radii[i % radii.length]];
  return [radius * Math.cos(angle), radius * Math.sin(angle)].map((x) => x.toFixed(3));
}));
const plus = [[-0.33, -1], [0.33, -1], [0.33, -0.33], [1, -0.33], [1, 0.33], [0.33, 0.33], [0.33, 1],
  [-0.33, 1], [-0.33, 0.33], [-1, 0.33], [-1, -0.33], [-0.33, -0.33]];
const turned = plus.map(([x, y]) => [(x - y) * 0.75, (x + y) * 0.75].map((v) => Number(v.toFixed(3))));
export const markerPaths = {
  o: 'M1 0A1 1 0 1 1 -1 0A1 1 0 1 1 1 0Z',
  s: polygon([-0.85, -0.85], [0.85, -0.85], [0.85, 0.85], [-0.85, 0.85]),
  '^': polygon([0, -1], [1, 0.9], [-1, 0.9]),
  v: polygon([0, 1], [1, -0.9], [-1, -0.9]),
  D: around(4, [1]),
  P: polygon(...plus),
  X: polygon(...turned),
  '*': around(10, [1, 0.42]),
  '<': polygon([-1, 0], [0.9, -1], [0.9, 1]),
  '>': polygon([1, 0], [-0.9, -1], [-0.9, 1]),
};

/** Where a half-filled marker has its colour: x, y of begin and end, as of a gradient. */
export const halves = {
  left: [0, 0, 1, 0], right: [1, 0, 0, 0], top: [0, 0, 0, 1], bottom: [0, 1, 0, 0],
};
