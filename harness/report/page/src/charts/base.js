// What the charts share: the library's parts, a frame that follows size and theme, intervals.
import * as echarts from 'echarts/core';
import { CustomChart, LineChart, ScatterChart } from 'echarts/charts';
import { GridComponent, MarkLineComponent, TooltipComponent } from 'echarts/components';
import { CanvasRenderer } from 'echarts/renderers';
import { code, h } from '../dom.js';
import { columnOf, shown, shownInterval } from '../columns.js';
import { colourOf, halves, markerPaths } from '../looks.js';
import { onTheme, theme } from '../theme.js';

echarts.use([CustomChart, LineChart, ScatterChart, GridComponent, MarkLineComponent, TooltipComponent, CanvasRenderer]);

const FONT = 'system-ui, sans-serif';
const MOST_INTERVALS = 400; // more would hide the points

/**
 * A chart in `holder`; `option(theme)` says what it draws. Data that stand for a row have its id as `row`
 * (the library copies what it is given, whole); they open the row's details.
 */
export function frame(holder, option, page) {
  const chart = echarts.init(holder, null, { renderer: 'canvas', devicePixelRatio: Math.max(2, devicePixelRatio) });
  const draw = () => chart.setOption({ animation: false, textStyle: { fontFamily: FONT }, ...option(theme()) }, { notMerge: true });
  chart.on('click', (event) => { if (event.data?.row !== undefined) page.open(page.model.rows[event.data.row]); });
  new ResizeObserver(() => {
    // It reports the first size too, which the chart has been drawn at.
    if (chart.getWidth() === holder.clientWidth && chart.getHeight() === holder.clientHeight) return;
    chart.resize();
    draw();
  }).observe(holder);
  onTheme(draw);
  holder.chart = chart;
  return { chart, draw };
}

export function axis(name, now, more = {}) {
  const { axisLabel, ticks, ...rest } = more;
  return {
    type: 'log', name, nameLocation: 'middle', nameTextStyle: { color: now.text, fontSize: 13 },
    axisLabel: { color: now.faint, fontSize: 12, hideOverlap: true, customValues: ticks, ...axisLabel },
    axisLine: { show: true, lineStyle: { color: now.faint } }, axisTick: { show: false, customValues: ticks },
    splitLine: { lineStyle: { color: now.line } }, minorSplitLine: { show: false }, ...rest,
  };
}

/** A variant's marker as a symbol of the library. */
export function symbolOf(look, now) {
  const colour = colourOf(look, now);
  let fill = colour;
  if (look.fill === 'none') fill = now.back;
  if (look.fill in halves) {
    const [x, y, x2, y2] = halves[look.fill];
    const stop = (offset, of) => ({ offset, color: of });
    fill = { type: 'linear', x, y, x2, y2, colorStops: [stop(0, colour), stop(0.5, colour), stop(0.5, now.back), stop(1, now.back)] };
  }
  return { symbol: `path://${markerPaths[look.marker]}`, itemStyle: { color: fill, borderColor: colour, borderWidth: 1.3 } };
}

/** Intervals as thin lines: data are [x, y, x low, x high, y low, y high, colour], whichever are known. */
export function intervals(data) {
  return {
    type: 'custom', silent: true, z: 1, tooltip: { show: false }, clip: true,
    data: data.length > MOST_INTERVALS ? [] : data,
    renderItem(_, api) {
      const [x, y, left, right, low, high] = [0, 1, 2, 3, 4, 5].map((i) => api.value(i));
      const line = (from, to) => {
        const [[x1, y1], [x2, y2]] = [api.coord(from), api.coord(to)];
        return { type: 'line', shape: { x1, y1, x2, y2 }, style: { stroke: api.value(6), lineWidth: 1, opacity: 0.65 } };
      };
      const children = [];
      if (left > 0 && right > 0) children.push(line([left, y], [right, y]));
      if (low > 0 && high > 0) children.push(line([x, low], [x, high]));
      return { type: 'group', children };
    },
  };
}

const told = ['time_ns', 'speed_up', 'memory_bytes', 'relative_error', 'target_relative_error', 'dropped_mass'];

/** What the pointer shows of a row: an element, so that its text is never parsed. */
export function tip(row, note) {
  return h('div', { class: 'tip' }, code(row.variant),
    h('table', {}, h('tbody', {}, told.map(columnOf).filter((column) => column.value(row) !== null)
      .map((column) => h('tr', {}, h('th', { scope: 'row' }, column.label), h('td', {}, shown(column, row)),
        h('td', { class: 'interval' }, shownInterval(column, row)))))), note && h('p', {}, note));
}

export function tooltip(now, page, content) {
  return {
    trigger: 'item', confine: true, backgroundColor: now.back, borderColor: now.faint, textStyle: { color: now.text, fontSize: 13 },
    extraCssText: 'max-width: 32rem; white-space: normal; overflow-wrap: anywhere', formatter: ({ data }) => (data?.row === undefined ? '' : content(page.model.rows[data.row], data)),
  };
}

/** A long expression cut for a label; the whole stands in lists, tooltips and details. */
export const cut = (text, most = 34) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
