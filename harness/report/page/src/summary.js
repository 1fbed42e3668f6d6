// Who is ahead, per input and length.
import { code, h } from './dom.js';
import { bytes, count, significant } from './format.js';
import { controlsOf } from './data.js';
import { variantButton } from './swatch.js';

function choiceLabel(choice) {
  const parts = [];
  if (choice.max_error !== null) parts.push(`error ≤ ${significant(choice.max_error)}`);
  if (choice.memory_bytes !== null) parts.push(`memory ≤ ${bytes(choice.memory_bytes)}`);
  return `fastest with ${parts.join(' and ')}`;
}

function variantCell(table, names, page) {
  const rows = names.map((name) => table.rows.find((row) => row.variant === name));
  if (!rows.length) return h('td', { class: 'text' }, 'none');
  return h('td', { class: 'text' }, h('ul', { class: 'plain' }, rows.map((row) => h('li', {},
    variantButton(row, page.looks.get(row.variant), page.open),
    row.speed_up && h('span', { class: 'interval' }, ` ${significant(row.speed_up.median)}×`)))));
}

function seriesTable(series, page) {
  const labels = series.tables[0].choices.map(choiceLabel);
  return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `Summary of ${series.name}` },
    h('table', { class: 'summary' },
      h('caption', {}, h('code', {}, series.name), ` – ${series.shape}`),
      h('thead', {}, h('tr', {}, h('th', { scope: 'col', class: 'figure' }, 'n'), h('th', { scope: 'col' }, 'on the frontier'),
        labels.map((label) => h('th', { scope: 'col' }, label)))),
      h('tbody', {}, series.tables.map((table) => h('tr', {},
        h('th', { scope: 'row', class: 'figure' }, count(table.keys)),
        variantCell(table, table.rows.filter((row) => row.on_frontier).map((row) => row.variant), page),
        table.choices.map((choice) => variantCell(table, choice.variants, page)))))));
}

function controlSentence(series, [control, beaten, lengths]) {
  return h('li', {}, code(series.name), `, n = ${lengths.map(count).join(', ')}: the control `, code(control),
    ' is at least as fast and as exact as ', beaten.flatMap((name, i) => [i ? ', ' : '', code(name)]), '.');
}

export function mountSummary(section, page) {
  section.append(h('p', { class: 'note' },
    'Only what approximates dense attention: exact attention, estimators, restrictions. On the frontier: none of them is at least as ',
    'fast and as exact, and better in one. Fastest: also what cannot be told from it round by round; errors are medians over heads, ',
    'with two standard errors added where they come from a sample of query rows. Figures are speed-ups over the anchor.'));
  for (const series of page.model.series) section.append(seriesTable(series, page));
  const sentences = page.model.series.flatMap((series) => controlsOf(series).map((found) => controlSentence(series, found)));
  if (sentences.length) section.append(h('h3', {}, 'What a control does as well'), h('ul', {}, sentences));
}
