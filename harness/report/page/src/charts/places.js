// Where things stand in a chart: plain numbers, no chart needed.

/** Limits of a logarithmic axis: what is drawn, and some room. */
export function limits(values, room = 1.25) {
  const positive = values.filter((value) => value > 0);
  if (!positive.length) return { min: 0.1, max: 10 };
  const within = (reach, value) => [Math.min(reach[0], value), Math.max(reach[1], value)];
  const [least, most] = positive.reduce(within, [Infinity, 0]);
  return { min: least / room, max: most * room };
}

/** 1, 2 and 5 times powers of ten within limits; of a wide axis powers alone. */
export function decimalTicks({ min, max }) {
  const steps = max / min < 3000 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = Math.floor(Math.log10(min)); power <= Math.log10(max); ++power) {
    for (const step of steps) ticks.push(Number(`${step}e${power}`));
  }
  const inside = ticks.filter((tick) => tick >= min && tick <= max);
  const every = Math.ceil(inside.length / 12);
  return inside.filter((_, i) => i % every === 0);
}

/** Places in the order of the wanted ones, at least `gap` apart, within limits where there is room. */
export function spread(wanted, gap, low, high) {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
  const places = [];
  order.forEach((i, k) => { places[i] = Math.max(wanted[i], k ? places[order[k - 1]] + gap : low); });
  for (let k = order.length - 1; k >= 0; --k) {
    places[order[k]] = Math.min(places[order[k]], k + 1 < order.length ? places[order[k + 1]] - gap : high);
  }
  return places;
}

const errors = ['relative_error'];
const times = ['time_ns', 'speed_up'];

export const isError = (column) => errors.includes(column.key);

/** Exact attention has no error but rounding, which would take most of an axis. */
export const isRounding = (row, column) => isError(column) && row.target === 'exact';

/** Limits and ticks for what has more than rounding, and the edge, where rounding stands. */
function axisOf(rows, column) {
  const drawn = rows.filter((row) => !isRounding(row, column));
  const values = [column.value, column.low, column.high].filter(Boolean).flatMap((get) => drawn.map(get));
  const inner = limits(values, 1.4);
  const ticks = decimalTicks(inner);
  if (drawn.length === rows.length) return { ...inner, ticks };
  return { edge: inner.min, min: inner.min / (inner.max / inner.min) ** 0.06, max: inner.max, ticks: [inner.min, ...ticks.slice(1)] };
}

/** Rows that ended well and have both figures, where they stand, and the axes for them. */
export function placed(rows, x, y) {
  const good = rows.filter((row) => row.status === 'ok' && x.value(row) > 0 && y.value(row) > 0);
  const [ofX, ofY] = [x, y].map((column) => axisOf(good, column));
  const place = (row, column, of) => (isRounding(row, column) ? of.edge : column.value(row));
  return { points: good.map((row) => ({ row, x: place(row, x, ofX), y: place(row, y, ofY) })), x: ofX, y: ofY };
}

/** Corners of the frontier's staircase, by increasing x; none where the axes are not its own. */
export function staircase(points, x, y) {
  const pair = [[x, y], [y, x]];
  if (!pair.some(([one, other]) => isError(one) && times.includes(other.key))) return [];
  return points.filter((point) => point.row.on_frontier).sort((a, b) => a.x - b.x || a.y - b.y).map((point) => [point.x, point.y]);
}

export const sizes = { equal: 11, least: 7, most: 28 };

/** Diameter whose square, beyond that of the least, grows with the logarithm of memory. */
export function diameterOf(bytes, [least, most]) {
  if (!(bytes > 0)) return sizes.least;
  const share = most > least ? (Math.log(bytes) - Math.log(least)) / (Math.log(most) - Math.log(least)) : 0;
  return Math.sqrt(sizes.least ** 2 + share * (sizes.most ** 2 - sizes.least ** 2));
}

/** Curves of a series: per variant its rows by increasing length, where they have a figure to draw. */
export function curvesOf(series, column) {
  const curves = new Map();
  for (const table of series.tables) {
    for (const row of table.rows) {
      if (row.status !== 'ok' || !(column.value(row) > 0) || isRounding(row, column)) continue;
      if (!curves.has(row.variant)) curves.set(row.variant, []);
      curves.get(row.variant).push(row);
    }
  }
  return curves;
}
