import assert from 'node:assert/strict';
import { test } from 'node:test';
import { columnOf } from '../src/columns.js';
import { csvOf, filtered, sorted } from '../src/select_rows.js';
import { rowOf } from './rows.js';

const rows = [rowOf('local(radius=256)', { time: { median: 30, low: 20, high: 40 } }), rowOf('local(radius=64)', { time: { median: 10, low: 9, high: 11 } }),
  rowOf('lsh', { status: 'refused', time: null }), rowOf('mean', { target: 'control', time: { median: 20, low: 19, high: 21 } }, { keys: 1024 })];
const names = (some) => some.map((row) => row.variant);

test('every word has to stand in the expression', () => {
  assert.deepEqual(names(filtered(rows, { words: 'LOCAL 64' })), ['local(radius=64)']);
  assert.deepEqual(names(filtered(rows, { words: ' ' })), names(rows));
  assert.deepEqual(names(filtered(rows, { words: '.*' })), []);
});

test('values of columns', () => {
  assert.deepEqual(names(filtered(rows, { keys: '1024' })), ['mean']);
  assert.deepEqual(names(filtered(rows, { target: 'restriction', keys: '' })), names(rows).slice(0, 3));
});

test('rows without the figure come last in both directions', () => {
  const time = columnOf('time_ns');
  assert.deepEqual(names(sorted(rows, time, false)), ['local(radius=64)', 'mean', 'local(radius=256)', 'lsh']);
  assert.deepEqual(names(sorted(rows, time, true)), ['local(radius=256)', 'mean', 'local(radius=64)', 'lsh']);
  assert.deepEqual(names(sorted(rows, columnOf('variant'), false)), ['local(radius=64)', 'local(radius=256)', 'lsh', 'mean']);
});

test('CSV has all digits, bounds, and quotes what needs them', () => {
  const [head, first] = csvOf([rowOf('heads(a,"b")', { time: { median: 0.1 + 0.2, low: 1e-7, high: 2 } })]).split('\n');
  const fields = head.split(',');
  assert.ok(first.startsWith('"heads(a,""b"")",restriction,gaussian,512,'));
  const values = first.slice('"heads(a,""b"")",'.length).split(',');
  assert.equal(values[fields.indexOf('time_ns') - 1], '0.30000000000000004');
  assert.equal(values[fields.indexOf('time_ns_low') - 1], '1e-7');
  assert.equal(values[fields.indexOf('speed_up') - 1], '');
});
