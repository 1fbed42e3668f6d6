import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytes, count, moment, natural, percent, significant, time, NONE } from '../src/format.js';

test('three significant digits, an exponent only where the number would be long', () => {
  for (const [value, text] of [[0, '0'], [0.0123456, '0.0123'], [45.64, '45.6'], [1234.4, '1234'], [1.23e-7, '1.23e-7'],
    [2e7, '2e7'], [-0.5, '-0.5'], [1, '1'], [999.6, '1000'], [13.896, '13.9']]) {
    assert.equal(significant(value), text);
  }
  assert.equal(significant(0.98765, 2), '0.99');
});

test('what is no figure is a dash', () => {
  for (const show of [significant, time, bytes, count, percent, moment]) {
    for (const value of [null, undefined, NaN, Infinity, '1']) assert.equal(show(value), NONE);
  }
});

test('times and sizes change their unit, rounding included', () => {
  assert.equal(time(96.5e6), '96.5 ms');
  assert.equal(time(999_600), '1 ms');
  assert.equal(time(12), '12 ns');
  assert.equal(time(3e9), '3 s');
  assert.equal(bytes(128), '128 B');
  assert.equal(bytes(279 * 1024), '279 KiB');
  assert.equal(bytes(513 * 2 ** 20), '513 MiB');
  assert.equal(bytes(0), '0 B');
});

test('counts and shares', () => {
  assert.equal(count(4096), '4096');
  assert.equal(count(1048576), '1\u202f048\u202f576');
  assert.equal(percent(0.4567), '46 %');
  assert.equal(moment(0), NONE);
  assert.equal(moment(86400), '1970-01-02 00:00 UTC');
});

test('numbers within names sort as numbers', () => {
  const names = ['local(radius=256)', 'local(radius=64)', 'local', 'lsh(rounds=2)'];
  assert.deepEqual([...names].sort(natural), ['local', 'local(radius=64)', 'local(radius=256)', 'lsh(rounds=2)']);
});
