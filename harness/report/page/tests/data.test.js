import assert from 'node:assert/strict';
import { test } from 'node:test';
import { controlsOf, modelOf, readRecords, recordsOf, settingOf, shapeOf } from '../src/data.js';
import { tableOf } from './rows.js';

const row = (variant, key, more = {}) => ({ variant, resolved: variant, family: variant, seeds: [{ key, seed: 0 }], time_ns: { median: 1 }, ...more });
const data = (tables) => ({ report: { tables, scaling: [], notices: [] }, records: { whole: true, bytes: 1 }, runs: [] });

test('records are found by their key, and parsed as they are', () => {
  const text = '{"key":"a","x":1e-7}\n{"key":"b","x":"\\u003cscript\\u003e"}\n';
  assert.deepEqual([...readRecords(text).records.keys()], ['a', 'b']);
  const model = modelOf(data([tableOf({ rows: [row('local', 'a'), row('lsh', 'b'), row('gone', 'c')] })]), text);
  assert.equal(model.record('a').x, 1e-7);
  assert.equal(model.record('b').x, '<script>');
  assert.deepEqual(model.rows.map((one) => recordsOf(model, one).length), [1, 1, 0]);
  assert.deepEqual(model.rows.map((one) => one.id), [0, 1, 2]);
});

test('tables of one series come by increasing length', () => {
  const model = modelOf(data([tableOf({ keys: 1024, series: 7 }), tableOf({ keys: 512, series: 7 }), tableOf({ keys: 64, causal: true, series: 9 })]), '');
  assert.deepEqual(model.series.map((series) => series.tables.map((table) => table.keys)), [[512, 1024], [64]]);
  assert.deepEqual(model.series.map((series) => series.name), ['gaussian, not causal, 1 thread', 'gaussian, causal, 1 thread']);
});

test('series that differ in their shape, or their machine, say so', () => {
  const shapes = modelOf(data([tableOf({ series: 0 }), tableOf({ dim: 32, value_dim: 32, series: 1 })]), '');
  assert.deepEqual(shapes.series.map((series) => series.name.split(', ').slice(-1)[0]), ['dim 64', 'dim 32']);
  const machines = modelOf(data([tableOf({ series: 0, machine: 'aaaaaaaaaaaa' }), tableOf({ series: 1, machine: 'bbbbbbbbbbbb' })]), '');
  assert.deepEqual(machines.series.map((series) => series.name.split(', ').at(-1)), ['machine aaaaaaaa', 'machine bbbbbbbb']);
});

test('the time of a token is a time', () => {
  const decoded = row('linear', 'a', { time_ns: undefined, time_per_token_ns: { median: 5 } });
  delete decoded.time_ns;
  const [one, other] = modelOf(data([tableOf({ rows: [decoded, row('dense', 'b')] })]), '').rows;
  assert.deepEqual([one.decodes, one.time.median, other.decodes, other.time.median], [true, 5, false, 1]);
});

test('words of a shape', () => {
  const table = tableOf({ key_heads: 1, value_dim: 32, queries: 1, threads: 2, direction: 'decode' });
  assert.equal(shapeOf(table), 'batch 1, 2 heads, 1 key head, dim 64, value dim 32, 1 query');
  assert.equal(settingOf(table), 'gaussian, not causal, decode, 2 threads');
  const block = tableOf({ direction: 'block', feed_forward: 256, feed_forward_chunk: 64 });
  assert.equal(settingOf(block), 'gaussian, not causal, block, feed-forward 256, in chunks of 64, 1 thread');
  const model = tableOf({ input: 'text', causal: true, direction: 'model', feed_forward: 256, model: 'folder', replaced: '0+2' });
  assert.equal(settingOf(model), 'text, causal, model, feed-forward 256, layers replaced: 0+2, 1 thread');
});

test('what a control does as well at several lengths stands once', () => {
  const tables = [[512, ['b', 'a']], [1024, ['a', 'b']], [2048, ['a']]].map(([keys, beaten]) => tableOf({ keys, beaten_by_control: { mean: beaten } }));
  assert.deepEqual(controlsOf({ tables }), [['mean', ['a', 'b'], [512, 1024]], ['mean', ['a'], [2048]]]);
});
