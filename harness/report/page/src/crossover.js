// From which length on each variant beats the anchor, and how figures grow.
import { h } from './dom.js';
import { count, significant } from './format.js';
import { variantButton } from './swatch.js';

const signs = { faster: '▲', slower: '▼', undecided: '?' };

function lengthCell(row, verdict) {
  if (!verdict) return h('td', { class: 'figure' }, '–');
  const figure = row?.speed_up ? `${significant(row.speed_up.median)}× ` : '';
  return h('td', { class: `verdict ${verdict}`, title: verdict }, figure,
    h('span', { 'aria-hidden': 'true' }, signs[verdict]), h('span', { class: 'unseen' }, verdict));
}

function exponent(figure, key) {
  if (!figure) return h('td', { class: 'figure', 'data-column': key }, '–');
  const margin = figure.margin === null ? '' : ` ±${figure.margin.toFixed(2)}`;
  return h('td', { class: 'figure', 'data-column': key, 'data-value': figure.exponent }, `${figure.exponent.toFixed(2)}${margin}`);
}

function seriesTable(scaling, series, page) {
  const rowAt = (variant, keys) => series.tables.find((table) => table.keys === keys)?.rows.find((row) => row.variant === variant);
  const memory = scaling.variants.some((variant) => 'state' in variant) ? 'state' : 'scratch';
  const lengths = scaling.anchor === null ? [] : scaling.lengths;
  return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `Crossover of ${series.name}` },
    h('table', { class: 'crossover' },
      h('caption', {}, h('code', {}, series.name), ` – ${series.shape}`),
      h('thead', {}, h('tr', {}, h('th', { scope: 'col', class: 'text' }, 'variant'),
        lengths.map((keys) => h('th', { scope: 'col', class: 'figure' }, `n = ${count(keys)}`)),
        lengths.length > 0 && h('th', { scope: 'col' }, 'faster than ', h('code', {}, scaling.anchor)),
        ['time', 'work', memory].map((word) => h('th', { scope: 'col', class: 'figure' }, `${word} ~ n^`)))),
      h('tbody', {}, scaling.variants.map((variant) => {
        const row = rowAt(variant.variant, variant.lengths.at(-1));
        const verdicts = new Map(variant.crossover?.lengths.map((length) => [length.keys, length.verdict]));
        return h('tr', {}, h('th', { scope: 'row' }, variantButton(row, page.looks.get(variant.variant), page.open)),
          lengths.map((keys) => lengthCell(rowAt(variant.variant, keys), verdicts.get(keys))),
          lengths.length > 0 && h('td', { class: 'text bracket' }, variant.crossover?.text ?? 'is the anchor'),
          exponent(variant.time, 'time'), exponent(variant.work, 'work'), exponent(variant[memory], memory));
      }))));
}

export function mountCrossover(section, page) {
  const { model } = page;
  if (!model.scaling.length) {
    section.append(h('p', { class: 'note' }, 'Nothing was measured at two lengths or more.'));
    return;
  }
  section.append(h('p', { class: 'note' },
    'Speed-up over the anchor at each length: ▲ faster, ▼ slower, ? undecided, as far as the 95 % interval over rounds tells. A ',
    'bracket lies between measured lengths; nothing is extrapolated. Right: the power of n that time, useful work and memory grow with.'));
  for (const scaling of model.scaling) {
    section.append(seriesTable(scaling, model.series.find((series) => series.id === scaling.series), page));
  }
}
