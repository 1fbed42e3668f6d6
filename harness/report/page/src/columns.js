// Every figure of a row, once: what tables show, what CSV holds, what sorts, what charts draw.
import { bytes, count, percent, significant, time } from './format.js';
import { maskOf } from './data.js';

const estimate = (get) => ({
  value: (row) => get(row)?.median ?? null,
  low: (row) => get(row)?.low ?? null,
  high: (row) => get(row)?.high ?? null,
});

/** What is left of no mass at all after rounding is none. */
const mass = (share) => (Math.abs(share) < 1e-6 && share !== null ? '0' : significant(share));

const rate = (perSecond) => (perSecond === null ? null : perSecond / 1e9);

/**
 * `key`: in CSV, with its unit. `show`: of a figure, for people. `text`: it is none. `axis`: charts may
 * draw it; `better`: what wants to be less or more. `low`, `high`: its interval or range.
 */
export const columns = [
  { key: 'variant', label: 'variant', text: true, value: (row) => row.variant },
  { key: 'target', label: 'target', text: true, value: (row) => row.target },
  { key: 'input', label: 'input', text: true, value: (row) => row.table.input },
  { key: 'keys', label: 'n', show: count, value: (row) => row.table.keys },
  { key: 'mask', label: 'mask', text: true, value: (row) => maskOf(row.table) },
  { key: 'mode', label: 'mode', text: true, value: (row) => row.table.direction },
  { key: 'feed_forward', label: 'feed-forward', show: count, value: (row) => row.table.feed_forward ?? 0 },
  { key: 'feed_forward_chunk', label: 'its chunks', show: count, value: (row) => row.table.feed_forward_chunk ?? 0 },
  { key: 'replaced', label: 'layers replaced', text: true, value: (row) => row.table.replaced ?? '' },
  { key: 'threads', label: 'threads', show: count, value: (row) => row.table.threads },
  { key: 'status', label: 'status', text: true, value: (row) => row.status.replaceAll('_', ' ') },
  { key: 'time_ns', label: 'time', show: time, axis: 'time', better: 'less', ...estimate((row) => row.time) },
  { key: 'speed_up', label: 'speed-up', show: significant, axis: 'speed-up over the anchor', better: 'more',
    ...estimate((row) => row.speed_up) },
  { key: 'efficiency', label: 'eff.', show: percent, value: (row) => row.efficiency },
  { key: 'useful_gflops', label: 'useful GFLOP/s', show: significant, extra: true,
    value: (row) => rate(row.useful_flops_per_second) },
  { key: 'executed_gflops', label: 'executed GFLOP/s', show: significant, extra: true,
    value: (row) => rate(row.executed_flops_per_second) },
  { key: 'memory_bytes', label: 'memory', show: bytes, axis: 'memory: scratch, state and parameters',
    better: 'less', value: (row) => row.memory_bytes },
  { key: 'scratch_bytes', label: 'scratch', show: bytes, extra: true, value: (row) => row.scratch_bytes },
  { key: 'state_bytes', label: 'state', show: bytes, extra: true, value: (row) => row.state_bytes },
  { key: 'parameter_bytes', label: 'parameters', show: bytes, extra: true, value: (row) => row.parameter_bytes },
  { key: 'relative_error', label: 'error or distance', show: significant, axis: 'relative error against dense',
    better: 'less', ...estimate((row) => row.relative_error) },
  { key: 'relative_error_deviation', label: 'its standard error', show: significant, extra: true,
    value: (row) => row.relative_error_deviation },
  { key: 'bits_per_character', label: 'bits per character', show: (value) => significant(value, 4),
    axis: 'bits per character', better: 'less', value: (row) => row.quality?.bits_per_character?.mean ?? null,
    low: (row) => row.quality?.bits_per_character?.low ?? null,
    high: (row) => row.quality?.bits_per_character?.high ?? null },
  { key: 'target_relative_error', label: 'error against own target', show: significant,
    axis: 'relative error against own target', better: 'less', ...estimate((row) => row.target_relative_error) },
  { key: 'dropped_mass', label: 'dropped mass', show: mass, axis: 'dropped mass', better: 'less',
    ...estimate((row) => row.dropped_mass) },
  { key: 'share_of_attainable', label: 'share of attainable', show: percent, extra: true,
    ...estimate((row) => row.roofline?.share_of_attainable) },
  { key: 'on_frontier', label: 'frontier', text: true, extra: true, value: (row) => (row.on_frontier ? 'yes' : 'no') },
  { key: 'stale', label: 'stale', text: true, extra: true, value: (row) => (row.stale ? 'yes' : 'no') },
  { key: 'unstable', label: 'unstable', text: true, extra: true, value: (row) => (row.unstable ? 'yes' : 'no') },
  { key: 'remark', label: 'remark', text: true, value: (row) => row.remark },
];

export const columnOf = (key) => columns.find((column) => column.key === key);

/** "96.5 ms [95.1, 99.0]"; the interval is left out where it would say nothing. */
export function shown(column, row) {
  const value = column.value(row);
  if (column.text) return value;
  const text = column.show(value);
  return row.sampled && column.key === 'relative_error' && value !== null ? `~${text}` : text;
}

export function shownInterval(column, row) {
  if (!column.low || column.value(row) === null) return '';
  return `[${column.show(column.low(row))}, ${column.show(column.high(row))}]`;
}

/** Columns that tell the given rows apart, or that hold a figure of one of them. */
export function columnsFor(rows, all = false) {
  const varying = new Set(['input', 'keys', 'mask', 'mode', 'feed_forward', 'feed_forward_chunk', 'replaced', 'threads',
    'status']);
  return columns.filter((column) => {
    if (column.extra && !all) return false;
    const values = new Set(rows.map(column.value));
    if (column.key === 'status') return [...values].some((value) => value !== 'ok');
    if (varying.has(column.key)) return values.size > 1 || column.key === 'keys';
    return [...values].some((value) => value !== null && value !== '');
  });
}
