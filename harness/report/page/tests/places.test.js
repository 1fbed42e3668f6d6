import assert from 'node:assert/strict';
import { test } from 'node:test';
import { curvesOf, decimalTicks, diameterOf, limits, placed, sizes, spread, staircase } from '../src/charts/places.js';
import { columnOf } from '../src/columns.js';
import { rowOf, tableOf } from './rows.js';

const [error, speedUp, time, memory] = ['relative_error', 'speed_up', 'time_ns', 'memory_bytes'].map(columnOf);
const figure = (median) => ({ median, low: median / 2, high: median * 2 });
const point = (variant, atError, atSpeed, more = {}) => rowOf(variant, { relative_error: figure(atError), speed_up: figure(atSpeed), ...more });

test('limits hold what is positive', () => {
  assert.deepEqual(limits([4, null, 0, -1, 1, NaN], 2), { min: 0.5, max: 8 });
  assert.deepEqual(limits([]), { min: 0.1, max: 10 });
});

test('ticks lie within limits, at most a dozen', () => {
  assert.deepEqual(decimalTicks({ min: 0.15, max: 12 }), [0.2, 0.5, 1, 2, 5, 10]);
  assert.deepEqual(decimalTicks({ min: 1e-7, max: 1 }), [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1]);
  assert.ok(decimalTicks({ min: 1e-30, max: 1e30 }).length <= 12);
});

test('names keep their order and their distance', () => {
  assert.deepEqual(spread([10, 10, 50], 5, 0, 100), [10, 15, 50]);
  assert.deepEqual(spread([98, 97, 0], 5, 0, 100), [100, 95, 0]);
  assert.deepEqual(spread([-20], 5, 0, 100), [0]);
});

test('rounding stands at the edge, outside of what has an error', () => {
  const rows = [point('dense', 1e-7, 1, { target: 'exact' }), point('local', 0.2, 10), point('lsh', 0.8, 3), point('bad', 0.1, 2, { status: 'mistrusted' }),
    rowOf('refused', { status: 'refused' })];
  const { points, x, y } = placed(rows, error, speedUp);
  assert.deepEqual(points.map((one) => one.row.variant), ['dense', 'local', 'lsh']);
  assert.equal(points[0].x, x.edge);
  assert.ok(x.min < x.edge && x.edge < 0.1 && x.ticks.includes(x.edge));
  assert.deepEqual([points[1].x, points[1].y], [0.2, 10]);
  assert.equal(y.edge, undefined);
});

test('the staircase joins the frontier, on its own axes alone', () => {
  const rows = [point('far', 0.8, 20, { on_frontier: true }), point('near', 0.2, 10, { on_frontier: true }), point('beaten', 0.9, 3)];
  const { points } = placed(rows, error, speedUp);
  assert.deepEqual(staircase(points, error, speedUp), [[0.2, 10], [0.8, 20]]);
  assert.deepEqual(staircase(points, memory, speedUp), []);
  assert.deepEqual(staircase(points, time, speedUp), []);
});

test('the area of a point grows with the logarithm of memory', () => {
  const range = [2 ** 10, 2 ** 20];
  const area = (bytes) => diameterOf(bytes, range) ** 2;
  assert.equal(diameterOf(2 ** 10, range), sizes.least);
  assert.ok(Math.abs(diameterOf(2 ** 20, range) - sizes.most) < 1e-9);
  assert.ok(Math.abs(area(2 ** 15) - (area(2 ** 10) + area(2 ** 20)) / 2) < 1e-9);
  assert.equal(diameterOf(0, range), sizes.least);
  assert.equal(diameterOf(5, [5, 5]), sizes.least);
});

test('curves leave out what has no figure', () => {
  const at = (keys, ...rows) => tableOf({ keys, rows });
  const series = { tables: [at(512, point('a', 0.1, 1), point('dense', 1e-7, 1, { target: 'exact' })), at(1024, point('a', 0.2, 2), rowOf('b'))] };
  assert.deepEqual([...curvesOf(series, error)].map(([name, rows]) => [name, rows.length]), [['a', 2]]);
  assert.deepEqual([...curvesOf(series, speedUp)].map(([name, rows]) => [name, rows.length]), [['a', 2], ['dense', 1]]);
});
