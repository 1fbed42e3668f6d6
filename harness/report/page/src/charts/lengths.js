// Time, memory, error over length.
import { columnOf } from '../columns.js';
import { h, replaceChildren, select } from '../dom.js';
import { count } from '../format.js';
import { colourOf } from '../looks.js';
import { axis, cut, frame, intervals, symbolOf, tip, tooltip } from './base.js';
import { fillList } from './list.js';
import { curvesOf, decimalTicks, limits, spread } from './places.js';

const MOST_CURVES = 60; // more cannot be told apart
const quantities = ['time_ns', 'speed_up', 'memory_bytes', 'scratch_bytes', 'state_bytes', 'parameter_bytes', 'relative_error', 'dropped_mass'];

function curve(variant, rows, column, now, page) {
  const look = page.looks.get(variant);
  const colour = colourOf(look, now);
  const width = look.width * 1.4;
  return {
    type: 'line', name: variant, z: 3, symbolKeepAspect: true, emphasis: { focus: 'series', lineStyle: { width: width + 1.5 } },
    lineStyle: { color: colour, width, type: look.dashes.length ? look.dashes.map((dash) => dash * width) : 'solid' },
    data: rows.map((row) => ({ value: [row.table.keys, column.value(row)], row: row.id, ...symbolOf(look, now), symbolSize: 9 })),
    endLabel: { show: false, color: colour, fontSize: 12, distance: 6, formatter: () => cut(variant, 26) },
  };
}

const GAP = 14; // pixels between names
const room = { left: 76, top: 16, bottom: 52 };

/** Names the curves at their ends where there is room for all names. */
function nameEnds(lines, up, height) {
  const inside = height - room.top - room.bottom;
  if (lines.length * GAP > inside) return;
  const ends = lines.map((line) => inside * (Math.log(up.max / line.data.at(-1).value[1]) / Math.log(up.max / up.min)));
  spread(ends, GAP, 0, inside).forEach((place, i) => {
    lines[i].endLabel.show = true;
    lines[i].endLabel.offset = [0, place - ends[i]];
  });
}

function option(state, now, page, height) {
  const { curves, column } = state;
  const rows = [...curves.values()].flat();
  const bars = column.low ? rows.map((row) => [row.table.keys, column.value(row), null, null, column.low(row), column.high(row),
    colourOf(page.looks.get(row.variant), now)]) : [];
  const lines = [...curves].map(([variant, of]) => curve(variant, of, column, now, page));
  if (lines.length && column.key === 'speed_up') {
    lines[0].markLine = { silent: true, symbol: 'none', lineStyle: { color: now.faint, type: 'dashed' }, label: { show: false },
      data: [{ yAxis: 1 }] };
  }
  const wide = page.wide();
  const keys = [...new Set(rows.map((row) => row.table.keys))].sort((a, b) => a - b);
  const up = limits([...rows.map(column.value), ...bars.flatMap((bar) => bar.slice(4, 6))]);
  if (wide) nameEnds(lines, up, height);
  return {
    grid: { ...room, right: wide ? 190 : 24 },
    xAxis: axis('n, number of keys', now, { nameGap: 30, ticks: keys, ...limits(keys, 1.1), axisLabel: { formatter: count } }),
    yAxis: axis(column.axis ?? column.label, now, { nameGap: 58, ticks: decimalTicks(up), ...up,
      axisLabel: { formatter: (value) => column.show(value) } }),
    tooltip: tooltip(now, page, (row) => tip(row, `n = ${count(row.table.keys)}`)),
    series: [...lines, intervals(bars)],
  };
}

export function mountLengths(section, page) {
  const holder = h('div', { class: 'chart', role: 'img', id: 'lengths-chart' });
  const list = h('div', { class: 'list' });
  const note = h('p', { class: 'note' });
  const own = h('span', { class: 'controls' });
  const both = h('div', { class: 'beside' }, holder, list);
  const state = { column: columnOf('time_ns'), curves: new Map() };
  section.append(h('div', { class: 'controls' }, page.settingChoice(false), own), both, note);
  const { chart, draw } = frame(holder, (now) => option(state, now, page, holder.clientHeight), page);

  function update() {
    const { series } = page.chosen;
    both.hidden = series.tables.length < 2;
    if (both.hidden) {
      note.textContent = 'Measured at one length only.';
      return;
    }
    const all = curvesOf(series, state.column);
    state.curves = new Map([...all].slice(0, MOST_CURVES));
    draw();
    holder.setAttribute('aria-label', `${state.column.label} over length of ${state.curves.size} variants; the table of all figures holds the same.`);
    const longest = [...state.curves.values()].map((rows) => rows.at(-1));
    fillList(list, longest, new Set(longest), page, (row, on) => chart.dispatchAction({ type: on ? 'highlight' : 'downplay', seriesName: row.variant }));
    note.textContent = 'Bars: interval of the median over rounds; of errors the range over heads. Of an operation the error is a distance.'
      + (all.size > MOST_CURVES ? ` ${all.size - MOST_CURVES} further variants are left out: they could not be told apart.` : '');
  }

  page.onChoice(() => {
    const known = quantities.map(columnOf).filter((column) => curvesOf(page.chosen.series, column).size);
    if (known.length && !known.includes(state.column)) [state.column] = known;
    replaceChildren(own, select('Up', known.map((column) => [column.key, column.axis ?? column.label]), state.column.key, (key) => {
      state.column = columnOf(key);
      update();
    }));
    update();
  });
}
