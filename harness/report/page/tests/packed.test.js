import assert from 'node:assert/strict';
import test from 'node:test';
import { deflateSync } from 'node:zlib';

import { unpacked } from '../src/packed.js';

test('what was packed is unpacked, whatever letters it has', async () => {
  for (const text of ['', '{"a": 1}\n', '<script> & \u2028 ü 🙂\0', 'long '.repeat(100000)]) {
    assert.equal(await unpacked(deflateSync(text).toString('base64')), text);
  }
});

test('what is no such stream is an error', async () => {
  await assert.rejects(unpacked(Buffer.from('text').toString('base64')));
});
