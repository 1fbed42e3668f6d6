// Puts the report together from the data in the page.
import { mountCrossover } from './crossover.js';
import { counted, modelOf } from './data.js';
import { mountDetails } from './details.js';
import { h, select } from './dom.js';
import { count } from './format.js';
import { mountGallery } from './gallery.js';
import { looksOf } from './looks.js';
import { mountMethod } from './method.js';
import { unpacked } from './packed.js';
import { mountSummary } from './summary.js';
import { mountTable } from './table.js';
import { mountHeads } from './charts/heads.js';
import { mountLengths } from './charts/lengths.js';
import { mountTradeoff } from './charts/tradeoff.js';

const WIDE = 900; // pixels

const textOf = (id) => unpacked(document.getElementById(id).textContent);

/** What sections share: the model, looks, and which series and length the charts show. */
function pageOf(model) {
  const listeners = [];
  const choosers = [];
  const [first] = [...model.series].sort((a, b) => b.tables.length - a.tables.length);
  const page = {
    model,
    looks: looksOf(model.rows),
    chosen: first && { series: first, table: first.tables.at(-1) },
    wide: () => innerWidth >= WIDE,
    onChoice: (listener) => listeners.push(listener),
    choose(series, table) {
      page.chosen = { series, table };
      for (const refresh of choosers) refresh();
      for (const listener of listeners) listener();
    },
    /** Lists of series and, if asked for, lengths: one choice for all charts. */
    settingChoice(withLength) {
      const holder = h('span', { class: 'controls' });
      const refresh = () => {
        const { series, table } = page.chosen;
        holder.replaceChildren();
        holder.append(select('Problem', model.series.map(({ id, name }) => [id, name]), series.id, (id) => {
          const other = model.series.find((one) => String(one.id) === id);
          page.choose(other, other.tables.find(({ keys }) => keys === page.chosen.table.keys) ?? other.tables.at(-1));
        }));
        if (!withLength) return;
        holder.append(select('n', series.tables.map((one, i) => [i, count(one.keys)]), series.tables.indexOf(table),
          (i) => page.choose(series, series.tables[i])));
      };
      choosers.push(refresh);
      refresh();
      return holder;
    },
  };
  return page;
}

function mountHeader(model) {
  const names = model.runs.map((run) => run.name.replace(/\/+$/, '').split('/').at(-1)).join(', ');
  document.title = `${names} – subquad report`;
  document.querySelector('h1').textContent = `subquad report: ${names}`;
  const variants = new Set(model.rows.map((row) => row.variant)).size;
  document.getElementById('what').textContent = `${counted(model.lines.size, 'point')}, ${counted(variants, 'variant')}, `
    + `${counted(new Set(model.tables.map((table) => table.input)).size, 'input')}, n = ${[...new Set(model.tables.map((table) => table.keys))]
      .sort((a, b) => a - b).map(count).join(', ')}`;
  const notices = document.getElementById('notices');
  for (const notice of model.report.notices) notices.append(h('p', { class: 'notice' }, notice));
}

async function main() {
  const model = modelOf(JSON.parse(await textOf('report-data')), await textOf('record-lines'));
  mountHeader(model);
  const mounts = { summary: mountSummary, tradeoff: mountTradeoff, lengths: mountLengths, crossover: mountCrossover,
    heads: mountHeads, patterns: mountGallery, figures: mountTable, method: mountMethod };
  const page = pageOf(model);
  page.open = mountDetails(document.getElementById('details'), page);
  for (const [id, mount] of Object.entries(mounts)) {
    const section = document.getElementById(id);
    if (model.rows.length) mount(section, page);
    else if (id !== 'method') section.remove();
  }
  if (model.rows.length) page.choose(page.chosen.series, page.chosen.table);
  performance.mark('drawn');
  document.documentElement.dataset.drawn = 'yes';
}

main().catch((error) => {
  document.getElementById('notices').append(h('p', { class: 'notice' }, `The page cannot be drawn: ${error.message}`));
  throw error;
});
