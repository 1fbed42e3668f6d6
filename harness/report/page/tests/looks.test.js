import assert from 'node:assert/strict';
import { test } from 'node:test';
import looks from '../../../../plots/looks.json';
import { colourOf, familyLook, halves, looksOf, markerPaths } from '../src/looks.js';

test('looks as plots/common.py computes them', () => {
  // family_look of that file.
  assert.deepEqual(familyLook('local'), [0, 4, 2]);
  assert.deepEqual(familyLook('lsh'), [5, 3, 2]);
});

test('every marker and every fill of the figures can be drawn', () => {
  assert.deepEqual(Object.keys(markerPaths).sort(), [...looks.markers].sort());
  for (const path of Object.values(markerPaths)) {
    assert.match(path, /^M[-\dA. L]+Z$/);
    // A unit within -1 and 1; the corners of an arc are among its numbers.
    for (const number of path.match(/-?[\d.]+/g)) assert.ok(Math.abs(number) <= 1, path);
  }
  assert.deepEqual(looks.fills.filter((fill) => !['full', 'none'].includes(fill)).sort(), Object.keys(halves).sort());
  assert.equal(looks.colours.length, looks.colours_on_dark.length);
});

test('parameters of a family differ by fill, in the order of their numbers', () => {
  const rows = ['local(radius=256)', 'local(radius=64)', 'local(radius=64)', 'lsh'].map((variant) => ({ variant, family: variant.split('(')[0] }));
  const found = looksOf(rows);
  assert.deepEqual(['local(radius=64)', 'local(radius=256)', 'lsh'].map((variant) => found.get(variant).fill), looks.fills.slice(0, 2).concat('full'));
  assert.equal(found.get('local(radius=64)').marker, found.get('local(radius=256)').marker);
});

test('dense has the colour of the text', () => {
  const [dense] = looksOf([{ variant: 'dense(x=1)', family: 'dense' }]).values();
  assert.equal(colourOf(dense, { dark: false, text: '#123' }), '#123');
  const [lsh] = looksOf([{ variant: 'lsh', family: 'lsh' }]).values();
  assert.equal(colourOf(lsh, { dark: false }), looks.colours[5]);
  assert.equal(colourOf(lsh, { dark: true }), looks.colours_on_dark[5]);
});
