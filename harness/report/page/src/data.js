// What stands in the page: the report of `subquad report --format json`, with some figures more, and
// the records. Nothing is computed here but which of them belong together.

import { natural } from './format.js';

/** Records of lines of points.jsonl, and the lines themselves, by key. */
export function readRecords(text) {
  const [records, lines] = [new Map(), new Map()];
  for (const line of text.split('\n')) {
    if (!line) continue;
    const record = JSON.parse(line);
    records.set(record.key, record);
    lines.set(record.key, line);
  }
  return { records, lines };
}

export const maskOf = (table) => (table.causal ? 'causal' : 'full');

/** "1 thread", "8 heads". */
export const counted = (number, word) => `${number} ${word}${number === 1 ? '' : 's'}`;

/** What stands around attention, in words; nothing where nothing does. */
function aroundOf(table) {
  const words = [];
  if (table.feed_forward) words.push(`feed-forward ${table.feed_forward}`);
  if (table.feed_forward_chunk) words.push(`in chunks of ${table.feed_forward_chunk}`);
  if (table.model) words.push(`layers replaced: ${table.replaced}`);
  return words;
}

/** What the tables of one series share, in words. */
export function settingOf(table) {
  const words = [table.input, maskOf(table) === 'causal' ? 'causal' : 'not causal'];
  if (table.direction !== 'forward') words.push(table.direction);
  words.push(...aroundOf(table));
  words.push(counted(table.threads, 'thread'));
  return words.join(', ');
}

/** The shape of a problem, in words; its length is said elsewhere. */
export function shapeOf(table) {
  const words = [`batch ${table.batch}`, counted(table.heads, 'head')];
  if (table.key_heads !== table.heads) words.push(counted(table.key_heads, 'key head'));
  words.push(`dim ${table.dim}`);
  if (table.value_dim !== table.dim) words.push(`value dim ${table.value_dim}`);
  if (table.queries !== table.keys) words.push(counted(table.queries, 'query').replace('querys', 'queries'));
  return words.join(', ');
}

function rowOf(row, table) {
  const decodes = 'time_per_token_ns' in row;
  return { ...row, table, decodes, time: decodes ? row.time_per_token_ns : row.time_ns };
}

/** Series of tables, each by increasing length; they may differ in shape alone, which is then said. */
function seriesOf(tables, severalMachines) {
  const groups = new Map();
  for (const table of tables) {
    if (!groups.has(table.series)) groups.set(table.series, []);
    groups.get(table.series).push(table);
  }
  const all = [...groups].map(([id, group]) => {
    group.sort((a, b) => a.keys - b.keys);
    const machine = severalMachines ? `, machine ${group[0].machine.slice(0, 8)}` : '';
    return { id, tables: group, name: settingOf(group[0]) + machine, shape: shapeOf(group[0]) };
  });
  const names = all.map((series) => series.name);
  for (const series of all) {
    if (names.filter((name) => name === series.name).length > 1) series.name += `, ${series.shape}`;
  }
  return all;
}

export function modelOf(data, recordText) {
  const { report } = data;
  const tables = report.tables.map((source) => {
    const table = { ...source };
    table.rows = source.rows.map((row) => rowOf(row, table));
    return table;
  });
  const rows = tables.flatMap((table) => table.rows);
  rows.forEach((row, id) => { row.id = id; });
  const { records, lines } = readRecords(recordText);
  const severalMachines = new Set(tables.map((table) => table.machine)).size > 1;
  return {
    ...data,
    tables,
    rows,
    series: seriesOf(tables, severalMachines),
    scaling: report.scaling,
    severalMachines,
    lines,
    /** Undefined for a key that is not there. */
    record: (key) => records.get(key),
  };
}

/** Records of a row that have figures. */
export function recordsOf(model, row) {
  return row.seeds.map((seed) => model.record(seed.key)).filter(Boolean);
}

/** [control, what it equals, lengths] of a series: what is the same at several lengths stands once. */
export function controlsOf(series) {
  const found = new Map();
  for (const table of series.tables) {
    for (const [control, beaten] of Object.entries(table.beaten_by_control)) {
      const names = [...beaten].sort(natural);
      const key = JSON.stringify([control, names]);
      if (!found.has(key)) found.set(key, [control, names, []]);
      found.get(key)[2].push(table.keys);
    }
  }
  return [...found.values()];
}
