// The table of all figures: filters, sorting, downloads.
import { columnsFor, columns, shown, shownInterval } from './columns.js';
import { code, download, h, replaceChildren, select } from './dom.js';
import { count, natural } from './format.js';
import { csvOf, filtered, sorted } from './select_rows.js';
import { variantButton } from './swatch.js';

const FIRST_ROWS = 250; // more on demand: a page of thousands is slow to lay out
const filters = ['input', 'keys', 'mask', 'mode', 'target', 'status'];

function valuesOf(rows, column) {
  const values = [...new Set(rows.map(column.value))];
  return values.sort((a, b) => (column.text ? natural(a, b) : a - b));
}

function cellOf(column, row, page) {
  if (column.key === 'variant') {
    const marks = [row.on_frontier && h('abbr', { title: 'on the frontier' }, '*'),
      row.unstable && h('abbr', { title: `unstable: ${row.instability}` }, '!'), row.stale && ' (stale)'];
    return h('th', { scope: 'row' }, variantButton(row, page.looks.get(row.variant), page.open), marks);
  }
  const value = column.value(row);
  const interval = shownInterval(column, row);
  return h('td', { class: column.text ? `text ${column.key}` : 'figure', 'data-column': column.key,
    'data-value': column.text ? null : value }, column.key === 'input' ? code(value) : shown(column, row),
  interval && h('span', { class: 'interval' }, ` ${interval}`));
}

export function mountTable(section, page) {
  const { model } = page;
  const state = { wanted: { words: '' }, sort: null, descending: false, all: false, everything: false };
  const controls = h('div', { class: 'controls' });
  const summary = h('p', { class: 'note', role: 'status' });
  const holder = h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of all figures' });
  const more = h('button', { type: 'button', onclick: () => { state.everything = true; draw(); } });

  const rowsNow = () => {
    const rows = filtered(model.rows, state.wanted);
    return state.sort ? sorted(rows, state.sort, state.descending) : rows;
  };

  function head(shownColumns) {
    return h('thead', {}, h('tr', {}, shownColumns.map((column) => {
      const order = state.sort === column ? (state.descending ? 'descending' : 'ascending') : 'none';
      return h('th', { scope: 'col', 'aria-sort': order, class: column.text ? 'text' : 'figure' },
        h('button', { type: 'button', 'data-sort': column.key, onclick: () => sortBy(column) }, column.label,
          h('span', { class: 'order', 'aria-hidden': 'true' }, { ascending: ' ▲', descending: ' ▼', none: '' }[order])));
    })));
  }

  function sortBy(column) {
    if (state.sort === column) state.descending = !state.descending;
    else [state.sort, state.descending] = [column, column.better === 'more'];
    draw();
    holder.querySelector(`[data-sort="${column.key}"]`).focus();
  }

  function draw() {
    const rows = rowsNow();
    const drawn = state.everything ? rows : rows.slice(0, FIRST_ROWS);
    const shownColumns = columnsFor(rows.length ? rows : model.rows, state.all);
    summary.textContent = `${count(rows.length)} of ${count(model.rows.length)} rows`
      + (drawn.length < rows.length ? `, the first ${drawn.length} shown` : '');
    more.textContent = `Show all ${count(rows.length)}`;
    more.hidden = drawn.length === rows.length;
    replaceChildren(holder, h('table', {}, head(shownColumns),
      h('tbody', {}, drawn.map((row) => h('tr', {}, shownColumns.map((column) => cellOf(column, row, page)))))));
  }

  function set(key, value) {
    state.wanted[key] = value;
    draw();
  }

  const linesOf = (rows) => rows.flatMap((row) => row.seeds.map((seed) => `${model.lines.get(seed.key)}\n`)).join('');
  const { whole } = model.records;
  replaceChildren(controls,
    h('label', {}, 'Variant ', h('input', { type: 'search', placeholder: 'words of its expression',
      oninput: (event) => set('words', event.target.value) })),
    filters.map((key) => columns.find((column) => column.key === key)).filter((column) => valuesOf(model.rows, column).length > 1)
      .map((column) => select(column.label, [['', 'all'], ...valuesOf(model.rows, column).map((value) => [value, value])],
        '', (value) => set(column.key, value))),
    h('label', {}, h('input', { type: 'checkbox', onchange: (event) => { state.all = event.target.checked; draw(); } }),
      ' all columns'),
    h('span', { class: 'downloads' },
      h('button', { type: 'button', id: 'download-csv', onclick: () => download('subquad.csv', 'text/csv', csvOf(rowsNow())) },
        'CSV of these rows'),
      whole && h('button', { type: 'button', id: 'download-records',
        onclick: () => download('points.jsonl', 'application/x-ndjson', linesOf(rowsNow())) },
      'Their records (JSON Lines)')));
  section.append(controls, summary, holder, more,
    h('p', { class: 'note' }, '* on the frontier, ! unstable, ~ over a sample of query rows; intervals and ranges in brackets. ',
      'A variant opens its details: command, rounds, heads. ',
      whole ? '' : `The records themselves (${count(Math.round(model.records.bytes / 1e6))} MB) are too large for a page: they are in points.jsonl of the run.`));
  draw();
}
