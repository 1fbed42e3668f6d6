// Error against time, with memory as the area of a point, and the Pareto frontier.
import { columnOf, columns } from '../columns.js';
import { h, replaceChildren, select } from '../dom.js';
import { count } from '../format.js';
import { colourOf } from '../looks.js';
import { axis, cut, frame, intervals, symbolOf, tip, tooltip } from './base.js';
import { fillList } from './list.js';
import { diameterOf, isError, isRounding, placed, sizes, staircase } from './places.js';

function option(state, now, page) {
  const { points, x, y } = state.placed;
  const memory = points.map((point) => point.row.memory_bytes).filter((bytes) => bytes > 0);
  const range = memory.reduce(([least, most], bytes) => [Math.min(least, bytes), Math.max(most, bytes)], [Infinity, 0]);
  const bound = (row, column, which) => (isRounding(row, column) ? null : column[which]?.(row) ?? null);
  const data = points.map((point) => {
    const look = page.looks.get(point.row.variant);
    return {
      value: [point.x, point.y], row: point.row.id, ...symbolOf(look, now),
      symbolSize: state.size === 'memory' ? diameterOf(point.row.memory_bytes, range) : sizes.equal,
      label: { show: point.row.on_frontier && points.length <= 200, color: now.text },
    };
  });
  const label = { position: 'right', distance: 5, fontSize: 12, textBorderColor: now.back, textBorderWidth: 3,
    formatter: (event) => cut(page.model.rows[event.data.row].variant) };
  const show = (column, { edge }) => ({ axisLabel: { formatter: (value) => (value === edge ? 'exact' : column.show(value)) } });
  const distance = state.group === 'operations' ? 'distance from dense (other operations)' : null;
  const name = (column) => (distance && isError(column) ? distance : column.axis);
  return {
    grid: { left: 76, right: 24, top: 16, bottom: 52 },
    xAxis: axis(name(state.x), now, { ...x, edge: undefined, nameGap: 30, ...show(state.x, x) }),
    yAxis: axis(name(state.y), now, { ...y, edge: undefined, nameGap: 58, ...show(state.y, y) }),
    tooltip: tooltip(now, page, (row) => tip(row, row.target === 'exact' ? 'exact: its error is rounding' : null)),
    series: [
      { type: 'line', silent: true, symbol: 'none', z: 0, step: state.x.better === 'more' ? 'start' : 'end',
        lineStyle: { color: now.faint, width: 1.2 }, data: staircase(points, state.x, state.y) },
      intervals(points.map(({ row, ...at }) => [at.x, at.y, bound(row, state.x, 'low'), bound(row, state.x, 'high'),
        bound(row, state.y, 'low'), bound(row, state.y, 'high'), colourOf(page.looks.get(row.variant), now)])),
      { type: 'scatter', data, label, labelLayout: { hideOverlap: true }, symbolKeepAspect: true, z: 3,
        emphasis: { scale: 1.5, label: { show: true } } },
    ],
  };
}

export function mountTradeoff(section, page) {
  const axes = columns.filter((column) => column.axis);
  const controls = h('div', { class: 'controls' });
  const holder = h('div', { class: 'chart', role: 'img', id: 'tradeoff-chart' });
  const list = h('div', { class: 'list' });
  const state = { x: columnOf('relative_error'), y: columnOf('speed_up'), size: 'memory', group: 'approximations' };
  const own = h('span', { class: 'controls' });
  section.append(controls, h('div', { class: 'beside' }, holder, list), h('p', { class: 'note' },
    'Line: Pareto frontier of what approximates dense attention. Exact attention stands at the edge: its error is rounding. Bars: ',
    'interval of a median over rounds, range over heads. Area of a point, if chosen: grows with the logarithm of scratch, state and ',
    'parameters together. A point, or a name in the list, opens its details.'));
  const { chart, draw } = frame(holder, (now) => option(state, now, page), page);

  const highlight = (row, on) => {
    const dataIndex = state.placed.points.findIndex((point) => point.row === row);
    if (dataIndex >= 0) chart.dispatchAction({ type: on ? 'highlight' : 'downplay', seriesIndex: 2, dataIndex });
  };

  function rowsOf(table) {
    return table.rows.filter((row) => (row.target === 'operation') === (state.group === 'operations'));
  }

  function update() {
    const { table } = page.chosen;
    const rows = rowsOf(table);
    state.placed = placed(rows, state.x, state.y);
    draw();
    holder.setAttribute('aria-label', `${state.y.axis} over ${state.x.axis} of ${state.placed.points.length} variants at n = ${count(table.keys)}; `
      + 'the list beside it and the table of all figures hold the same.');
    fillList(list, rows, new Set(state.placed.points.map((point) => point.row)), page, highlight);
  }

  function choose(key, value) {
    state[key] = value;
    update();
  }

  const axisChoice = (name, key) => select(name, axes.map((column) => [column.key, column.axis]), state[key].key,
    (value) => choose(key, columnOf(value)));
  page.onChoice(() => {
    const targets = new Set(page.chosen.table.rows.map((row) => row.target === 'operation'));
    if (targets.size === 1) state.group = targets.has(true) ? 'operations' : 'approximations';
    const timed = page.chosen.table.rows.some((row) => row.speed_up);
    if (!timed && state.y.key === 'speed_up') state.y = columnOf(page.chosen.table.rows.some((row) => row.time) ? 'time_ns' : 'memory_bytes');
    replaceChildren(own,
      targets.size > 1 && select('Show', [['approximations', 'what has an error'], ['operations', 'other operations (distance)']],
        state.group, (value) => choose('group', value)),
      axisChoice('Across', 'x'), axisChoice('Up', 'y'),
      select('Area', [['memory', 'memory'], ['equal', 'all equal']], state.size, (value) => choose('size', value)));
    update();
  });
  controls.append(page.settingChoice(true), own);
}
