// The error of every head, variant by variant, nearest first.
import { h } from '../dom.js';
import { count, significant } from '../format.js';
import { recordsOf } from '../data.js';
import { colourOf } from '../looks.js';
import { axis, cut, frame, tip, tooltip } from './base.js';
import { decimalTicks, limits } from './places.js';

const MOST_LINES = 80;
const MOST_POINTS = 64; // of a line; more is a bar of ink
const LINE = 22; // pixels

/** [row, [head's errors]] of what has an error at all, by its median. */
export function linesOf(model, table) {
  const rows = table.rows.filter((row) => row.status === 'ok' && row.target !== 'exact' && row.relative_error?.median > 0);
  return rows.sort((a, b) => a.relative_error.median - b.relative_error.median).slice(0, MOST_LINES)
    .map((row) => [row, recordsOf(model, row).flatMap((record) => record.error.relative_error ?? [])])
    .filter(([, errors]) => errors.length);
}

function option(lines, now, page) {
  const errors = lines.flatMap(([, values]) => values);
  const wide = page.wide();
  const every = (values) => Math.max(1, Math.ceil(values.length / MOST_POINTS));
  return {
    grid: { left: wide ? 300 : 150, right: 24, top: 8, bottom: 48 },
    xAxis: axis('relative error against dense; of an operation its distance', now,
      { nameGap: 28, ticks: decimalTicks(limits(errors)), ...limits(errors), axisLabel: { formatter: (value) => significant(value) } }),
    yAxis: { type: 'category', inverse: true, data: lines.map(([row]) => cut(row.variant, wide ? 40 : 19)),
      axisLabel: { color: now.text, fontSize: 12, interval: 0, fontFamily: 'ui-monospace, monospace' },
      axisLine: { lineStyle: { color: now.faint } }, axisTick: { show: false }, splitLine: { show: true, lineStyle: { color: now.line } } },
    tooltip: tooltip(now, page, (row, { head }) => tip(row, head)),
    series: [
      { type: 'scatter', symbol: 'circle', symbolSize: 8, z: 2, data: lines.flatMap(([row, values], i) => values
        .map((value, head) => ({ value: [value, i], row: row.id, head: `value ${head}: ${significant(value)}`,
          itemStyle: { color: colourOf(page.looks.get(row.variant), now), opacity: 0.6 } }))
        .filter((point, k) => point.value[0] > 0 && k % every(values) === 0)) },
      { type: 'scatter', symbol: 'rect', symbolSize: [2.5, 16], z: 3,
        data: lines.map(([row], i) => ({ value: [row.relative_error.median, i], row: row.id, itemStyle: { color: now.text } })) },
    ],
  };
}

export function mountHeads(section, page) {
  const holder = h('div', { class: 'chart', role: 'img', id: 'heads-chart' });
  const note = h('p', { class: 'note' });
  section.append(h('div', { class: 'controls' }, page.settingChoice(true)), holder, note);
  let lines = [];
  const { chart, draw } = frame(holder, (now) => option(lines, now, page), page);
  page.onChoice(() => {
    lines = linesOf(page.model, page.chosen.table);
    holder.style.height = `${80 + LINE * Math.max(3, lines.length)}px`;
    chart.resize();
    draw();
    const { heads, batch, keys } = page.chosen.table;
    holder.setAttribute('aria-label', `Error of each head of ${lines.length} variants at n = ${count(keys)}; details of a variant hold the same.`);
    note.textContent = lines.length
      ? `One point for each sequence, head and seed (${count(heads)} heads, batch ${count(batch)}), a bar for their median; nearest to dense first.`
      : 'No errors were taken here.';
  });
}
