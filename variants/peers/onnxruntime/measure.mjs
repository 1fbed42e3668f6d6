// Measures ONNX Runtime's attention operators on one thread and writes records that `subquad report`
// shows beside those of a run. ONNX Runtime publishes its library through npm, but no headers in
// Debian, so this is a script and no plugin.
//
//   npm install --ignore-scripts
//   node measure.mjs --input qkv.safetensors [--results FOLDER] [--lengths 512,2048] [--rounds 9]
//
// Q, K and V are read from the file; if it is not there it is written, with unit normal numbers of
// one head of dim 64. A run of experiments/dense_peers.cfg with --input 'file(path=...)' of the same
// file, the path spelt in the same way, has its points in the same tables.
//
// In each round an operator and dense take turns: dense by `subquad measure` in a process of its
// own, the operator here; who is first is drawn. What is written is dense's record of the point with
// what differs replaced, so that the program alone decides what a record holds.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const here = path.dirname(fileURLToPath(import.meta.url));
const source = path.resolve(here, '../../..');
const kDim = 64;
const kLongest = 8192;
/// Query rows that errors are taken over.
const kRows = 64;

const { values: options } = parseArgs({
  options: {
    input: { type: 'string' },
    results: { type: 'string', default: 'results/onnxruntime' },
    lengths: { type: 'string', default: '512,1024,2048,4096,8192' },
    causal: { type: 'string', default: 'no,yes' },
    rounds: { type: 'string', default: '9' },
    'min-time': { type: 'string', default: '0.02' },
    subquad: { type: 'string', default: path.join(source, 'build/release/subquad') },
  },
});
if (!options.input) throw new Error('--input FILE.safetensors is needed');

// A heap that maps large blocks anew in every call costs ONNX Runtime up to half its speed. The C
// library reads these when a process starts.
const kHeap = { MALLOC_MMAP_THRESHOLD_: '4000000000', MALLOC_TRIM_THRESHOLD_: '8000000000' };
if (process.env.MALLOC_TRIM_THRESHOLD_ === undefined) {
  const again = spawnSync(process.execPath, process.argv.slice(1),
    { env: { ...process.env, ...kHeap }, stdio: 'inherit' });
  process.exit(again.status ?? 1);
}

const require = createRequire(import.meta.url);
const ort = require('onnxruntime-node');
const { onnx } = require('onnx-proto');
const kVersion = require('onnxruntime-node/package.json').version;

function writeNormal(file) {
  const names = ['q', 'k', 'v'];
  const bytes = kLongest * kDim * 4;
  const header = {};
  names.forEach((name, i) => {
    header[name] = { dtype: 'F32', shape: [1, 1, kLongest, kDim], data_offsets: [i * bytes, (i + 1) * bytes] };
  });
  const data = new Float32Array(3 * kLongest * kDim);
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 4294967296;
  };
  for (let i = 0; i < data.length; ++i) {
    data[i] = Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  }
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  fs.writeFileSync(file, Buffer.concat([size, text, Buffer.from(data.buffer)]));
}

/// The first `length` rows of the first head of q, k and v.
function readRows(file, length) {
  const content = fs.readFileSync(file);
  const size = Number(content.readBigUInt64LE(0));
  const header = JSON.parse(content.subarray(8, 8 + size).toString());
  const rows = {};
  for (const name of ['q', 'k', 'v']) {
    const { dtype, shape, data_offsets: offsets } = header[name];
    const [keys, dim] = shape.slice(-2);
    if (dtype !== 'F32' || dim !== kDim || keys < length || shape.slice(0, -2).some((n) => n !== 1)) {
      throw new Error(`${file}: ${name} has to be F32 of one head of at least ${length} rows of ${kDim}`);
    }
    const from = 8 + size + offsets[0];
    rows[name] = new Float32Array(content.buffer.slice(content.byteOffset + from,
      content.byteOffset + from + length * kDim * 4));
  }
  return rows;
}

const number = (name, value) => ({ name, i: value, type: onnx.AttributeProto.AttributeType.INT });
const tensor = (name, dims, type = onnx.TensorProto.DataType.FLOAT) => ({
  name,
  type: { tensorType: { elemType: type, shape: { dim: dims.map((dimValue) => ({ dimValue })) } } },
});

/// A model of one node that maps q, k, v [1, n, dim] to o, and what it is fed beside these.
function modelOf(operator, n, causal) {
  const kInt = onnx.TensorProto.DataType.INT32;
  const io = [tensor('q', [1, n, kDim]), tensor('k', [1, n, kDim]), tensor('v', [1, n, kDim])];
  const outputs = [tensor('o', [1, n, kDim])];
  const nodes = {
    multi_head: {
      opType: 'MultiHeadAttention',
      domain: 'com.microsoft',
      input: ['q', 'k', 'v'],
      attribute: [number('num_heads', 1), number('unidirectional', causal ? 1 : 0)],
    },
    attention: {
      opType: 'Attention',
      domain: '',
      input: ['q', 'k', 'v'],
      attribute: [number('q_num_heads', 1), number('kv_num_heads', 1), number('is_causal', causal ? 1 : 0)],
    },
    group_query: {
      opType: 'GroupQueryAttention',
      domain: 'com.microsoft',
      input: ['q', 'k', 'v', '', '', 'last', 'total'],
      attribute: [number('num_heads', 1), number('kv_num_heads', 1)],
    },
  };
  const node = { ...nodes[operator], output: ['o'] };
  const more = {};
  if (operator === 'group_query') {
    io.push(tensor('last', [1], kInt), tensor('total', [1], kInt));
    outputs.push(tensor('present_k', [1, 1, n, kDim]), tensor('present_v', [1, 1, n, kDim]));
    node.output.push('present_k', 'present_v');
    more.last = new ort.Tensor('int32', Int32Array.of(n - 1), [1]);
    more.total = new ort.Tensor('int32', Int32Array.of(n), [1]);
  }
  const model = onnx.ModelProto.create({
    irVersion: 10,
    opsetImport: [{ domain: '', version: 23 }, { domain: 'com.microsoft', version: 1 }],
    graph: { name: 'attention', node: [node], input: io, output: outputs },
  });
  return { bytes: Buffer.from(onnx.ModelProto.encode(model).finish()), more };
}

/// Figures of the output against exact attention in double, over `count` query rows.
function errorOf(rows, out, n, causal, count) {
  const { q, k, v } = rows;
  let difference = 0, size = 0, largest = 0, finite = true;
  for (let pick = 0; pick < count; ++pick) {
    const i = count === n ? pick : Math.floor(((pick + 0.5) * n) / count);
    const seen = causal ? i + 1 : n;
    const scores = new Float64Array(seen);
    let top = -Infinity;
    for (let j = 0; j < seen; ++j) {
      let dot = 0;
      for (let c = 0; c < kDim; ++c) dot += q[i * kDim + c] * k[j * kDim + c];
      scores[j] = dot / Math.sqrt(kDim);
      top = Math.max(top, scores[j]);
    }
    const exact = new Float64Array(kDim);
    let sum = 0;
    for (let j = 0; j < seen; ++j) {
      const weight = Math.exp(scores[j] - top);
      sum += weight;
      for (let c = 0; c < kDim; ++c) exact[c] += weight * v[j * kDim + c];
    }
    for (let c = 0; c < kDim; ++c) {
      const wanted = exact[c] / sum, got = out[i * kDim + c];
      finite &&= Number.isFinite(got);
      difference += (got - wanted) ** 2;
      size += wanted ** 2;
      largest = Math.max(largest, Math.abs(got - wanted));
    }
  }
  return { relative: Math.sqrt(difference / size), largest, finite };
}

/// Dense on the same point, one round: its record.
function measureDense(n, causal) {
  const words = ['measure', '--variant', 'dense', '--input', `file(path=${options.input})`,
    '--length', String(n), '--causal', causal ? 'yes' : 'no', '--rounds', '1', '--min-time',
    options['min-time'], '--reference-rows', String(kRows)];
  const done = spawnSync(options.subquad, words, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (done.status !== 0) throw new Error(`subquad ${words.join(' ')}: ${done.stderr}`);
  return JSON.parse(done.stdout);
}

async function timedPass(call, iterations) {
  const times = [];
  const began = Date.now() / 1000, cpu = process.cpuUsage();
  const begin = process.hrtime.bigint();
  for (let i = 0; i < iterations; ++i) {
    const start = process.hrtime.bigint();
    await call();
    times.push(Number(process.hrtime.bigint() - start));
  }
  const total = Number(process.hrtime.bigint() - begin);
  const used = process.cpuUsage(cpu);
  times.sort((a, b) => a - b);
  const kept = Math.min(8, times.length);
  return {
    time_ns: total / iterations,
    iterations,
    unix_time: began,
    cpu_ns: ((used.user + used.system) * 1000) / iterations,
    call_ns: Array.from({ length: kept }, (_, i) =>
      times[times.length <= 8 ? i : Math.floor(((2 * i + 1) * times.length) / 16)]),
  };
}

/// A session of the operator, warm, and how its output does.
async function prepared(operator, n, causal, rows) {
  const { bytes, more } = modelOf(operator, n, causal);
  const session = await ort.InferenceSession.create(bytes, {
    intraOpNumThreads: 1, interOpNumThreads: 1, executionProviders: ['cpu'], logSeverityLevel: 3,
  });
  const feed = { ...more };
  for (const name of ['q', 'k', 'v']) feed[name] = new ort.Tensor('float32', rows[name], [1, n, kDim]);
  const call = () => session.run(feed);
  const error = errorOf(rows, (await call()).o.data, n, causal, Math.min(n, kRows));
  const start = process.hrtime.bigint();
  await call();
  const seconds = Number(process.hrtime.bigint() - start) * 1e-9;
  const iterations = Math.max(1, Math.ceil(Number(options['min-time']) / seconds));
  return { operator, session, error, rounds: [], time: () => timedPass(call, iterations) };
}

function shuffle(items) {
  for (let i = items.length; i > 1; --i) {
    const other = Math.floor(Math.random() * i);
    [items[i - 1], items[other]] = [items[other], items[i - 1]];
  }
  return items;
}

/// The records of dense and of the operators on one problem, timed in rounds.
async function measureGroup(operators, n, causal, rows) {
  const points = [];
  for (const operator of operators) points.push(await prepared(operator, n, causal, rows));
  const denseRounds = [];
  let record;
  for (let round = 0; round < Number(options.rounds); ++round) {
    const passes = new Map();
    for (const point of shuffle([null, ...points])) {
      if (point === null) {
        record = measureDense(n, causal);
      } else {
        passes.set(point, await point.time());
      }
    }
    const dense = { ...record.rounds[0], round };
    denseRounds.push(dense);
    for (const [point, pass] of passes) {
      point.rounds.push({ ...dense, peak_gflops: 0, ...pass, anchor_ns: dense.time_ns });
    }
  }
  for (const point of points) await point.session.release();
  record.rounds = denseRounds;
  return [record, ...points.map((point) => completed(record, point))];
}

/// Dense's record of a point made the operator's.
function completed(dense, { operator, rounds, error }) {
  const n = dense.problem.keys;
  const variant = `onnxruntime(operator=${operator})`;
  const build = `onnxruntime-${kVersion}`;
  // As for float32 of this program; a point beyond it is not to be trusted.
  const good = error.finite && error.relative < 1e-5;
  const zero = (keys) => Object.fromEntries(keys.map((key) => [key, 0]));
  const causal = dense.problem.causal;
  return {
    ...dense,
    ...zero(['executed_multiply_adds', 'executed_exponentials', 'heap_allocations', 'heap_bytes',
      'heap_kept_bytes', 'predicted_bytes', 'resident_bytes', 'resident_peak_bytes',
      'scratch_bytes', 'scratch_declared_bytes', 'setup_ns', 'untimed_ns', 'exponential_flops',
      'memory_bytes_per_s', 'arithmetic_queries', 'arithmetic_tolerance']),
    roofline: zero(Object.keys(dense.roofline)),
    arithmetic_error: -1,
    key: createHash('sha256').update(JSON.stringify([variant, build, dense.key])).digest('hex').slice(0, 32),
    build,
    anchor: false,
    experiment: 'onnxruntime',
    variant,
    resolved: variant,
    family: 'onnxruntime',
    status: good ? 'ok' : 'mistrusted',
    reason: good ? '' : `relative error ${error.relative.toExponential(1)} against exact attention`,
    error: { relative_error: [error.relative], max_abs_error: [error.largest] },
    error_deviation: {},
    reference_rows: Math.min(n, kRows),
    sampled: n > kRows,
    rounds,
    command: `node measure.mjs --input ${options.input} --lengths ${n} --causal ${causal ? 'yes' : 'no'}`,
  };
}

function append(record) {
  fs.appendFileSync(path.join(options.results, 'points.jsonl'), JSON.stringify(record) + '\n');
  const ratios = record.rounds.map((round) => round.anchor_ns / round.time_ns).sort((a, b) => a - b);
  const { causal, keys } = record.problem;
  console.log(`${record.variant.padEnd(36)} n = ${String(keys).padStart(5)} ${causal ? 'causal' : 'full  '} `
    + `${record.status}: ${ratios[ratios.length >> 1].toFixed(3)} x the speed of dense`);
}

if (!fs.existsSync(options.input)) writeNormal(options.input);
fs.mkdirSync(options.results, { recursive: true });
for (const n of options.lengths.split(',').map(Number)) {
  const rows = readRows(options.input, n);
  for (const word of options.causal.split(',')) {
    const causal = word === 'yes';
    // GroupQueryAttention knows no other than causal attention.
    const operators = ['multi_head', 'attention', ...(causal ? ['group_query'] : [])];
    for (const record of await measureGroup(operators, n, causal, rows)) append(record);
  }
}
