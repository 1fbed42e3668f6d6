// All that is known of one row, in a dialog.
import { columns, shown, shownInterval } from './columns.js';
import { code, h, replaceChildren } from './dom.js';
import { count, moment, significant, time } from './format.js';
import { settingOf, shapeOf } from './data.js';
import { swatch } from './swatch.js';

/** The command, and a button that copies it. */
function commandBlock(command) {
  const said = h('span', { role: 'status' });
  const words = h('code', {}, command);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(command);
      said.textContent = ' copied';
    } catch {
      getSelection().selectAllChildren(words);
      said.textContent = ' selected: copy it from there';
    }
  };
  return [h('pre', { class: 'command' }, words), h('p', {}, h('button', { type: 'button', onclick: copy }, 'Copy'), said)];
}

function figureList(row) {
  const known = columns.filter((column) => ![null, ''].includes(column.value(row)) && column.key !== 'variant');
  return h('dl', { class: 'figures' }, known.map((column) => [h('dt', {}, column.label),
    h('dd', { 'data-column': column.key, 'data-value': column.text ? null : column.value(row) }, shown(column, row),
      column.low && h('span', { class: 'interval' }, ` ${shownInterval(column, row)}`))]));
}

function roundsTable(record) {
  if (!record.rounds.length) return h('p', { class: 'note' }, 'Nothing was timed.');
  const anchored = record.rounds.some((round) => round.anchor_ns > 0);
  return h('table', {}, h('caption', {}, `Rounds: ${record.direction === 'decode' ? 'time of a token' : 'time of a forward pass'}`),
    h('thead', {}, h('tr', {}, ['round', 'time', ...(anchored ? ['anchor'] : []), 'passes'].map((text) => h('th', { scope: 'col', class: 'figure' }, text)))),
    h('tbody', {}, record.rounds.map((round) => h('tr', {},
      h('th', { scope: 'row', class: 'figure' }, round.round),
      h('td', { class: 'figure', 'data-value': round.time_ns }, time(round.time_ns, 4)),
      anchored && h('td', { class: 'figure', 'data-value': round.anchor_ns }, round.anchor_ns > 0 ? time(round.anchor_ns, 4) : '–'),
      h('td', { class: 'figure' }, count(round.iterations))))));
}

const MOST_VALUES = 64;

function headsTable(record, metrics) {
  const figures = Object.entries(record.error).filter(([, values]) => values.length);
  if (!figures.length) return null;
  const length = Math.min(MOST_VALUES, Math.max(...figures.map(([, values]) => values.length)));
  const sequence = (i) => (record.batch > 1 ? `${Math.floor(i / record.heads)}, ${i % record.heads}` : i);
  return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Figures of each head' }, h('table', {},
    h('caption', {}, 'Against dense, head by head'),
    h('thead', {}, h('tr', {}, h('th', { scope: 'col', class: 'figure' }, record.batch > 1 ? 'sequence, head' : 'head'),
      figures.map(([key]) => h('th', { scope: 'col', class: 'figure', title: metrics[key]?.doc }, metrics[key]?.label ?? key)))),
    h('tbody', {}, Array.from({ length }, (_, i) => h('tr', {}, h('th', { scope: 'row', class: 'figure' }, sequence(i)),
      figures.map(([, values]) => h('td', { class: 'figure' }, significant(values[i]))))))));
}

function seedPart(seed, record, model) {
  const started = record?.rounds.length ? `, measured ${moment(record.rounds[0].unix_time)}` : '';
  return h('section', {}, h('h3', {}, `Seed ${seed.seed}: ${seed.status.replaceAll('_', ' ')}`),
    h('p', { class: 'note' }, 'build ', h('code', {}, seed.build), started, seed.reason && `; ${seed.reason}`),
    h('h4', {}, 'Repeats this point'), commandBlock(seed.command),
    record && [roundsTable(record), headsTable(record, model.metrics),
      h('details', {}, h('summary', {}, model.records.whole ? 'The record' : 'The record, shortened'),
        h('pre', { class: 'record' }, JSON.stringify(record, null, 1)))]);
}

export function mountDetails(dialog, page) {
  const { model } = page;
  dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
  return (row) => {
    const { table } = row;
    replaceChildren(dialog, h('div', { class: 'inside' },
      h('button', { type: 'button', class: 'close', onclick: () => dialog.close(), 'aria-label': 'Close details' }, '✕'),
      h('h2', { id: 'details-title' }, swatch(page.looks.get(row.variant)), code(row.variant)),
      h('p', {}, 'n = ', count(table.keys), ', ', h('code', {}, settingOf(table)), `; ${shapeOf(table)}`),
      row.resolved !== row.variant && h('p', { class: 'note' }, 'resolved: ', code(row.resolved)),
      h('p', { class: 'note' }, 'own target: ', h('code', {}, row.dense_target),
        row.sampled && `; errors over a sample of ${count(row.reference_rows)} query rows per head`),
      row.instability && h('p', { class: 'warning' }, `unstable: ${row.instability}`),
      row.stale && h('p', { class: 'warning' }, 'stale: another build measured points of this run again'),
      figureList(row),
      row.seeds.map((seed) => seedPart(seed, model.record(seed.key), model))));
    dialog.showModal();
    dialog.scrollTop = 0;
  };
}
