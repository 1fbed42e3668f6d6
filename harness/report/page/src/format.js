// Figures as people read them. What cannot be told is a dash, never a guess.

export const NONE = '–';

const isFigure = (value) => typeof value === 'number' && Number.isFinite(value);

/** `digits` significant ones, an exponent only where the number would be long: 0.0123, 1234, 1.2e-7. */
export function significant(value, digits = 3) {
  if (!isFigure(value)) return NONE;
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split('e');
    return `${Number(mantissa)}e${Number(exponent)}`;
  }
  return size >= 10 ** digits ? String(Math.round(value)) : String(Number(value.toPrecision(digits)));
}

function scaled(value, units, digits) {
  const [size, unit] = units.find(([least]) => Math.abs(value) >= 0.9995 * least) ?? units.at(-1);
  return `${significant(value / size, digits)} ${unit}`;
}

/** From nanoseconds. */
export function time(nanoseconds, digits = 3) {
  if (!isFigure(nanoseconds)) return NONE;
  return scaled(nanoseconds, [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs'], [1, 'ns']], digits);
}

export function bytes(count, digits = 3) {
  if (!isFigure(count)) return NONE;
  return scaled(count, [[2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB'], [1, 'B']], digits);
}

/** A count with its digits in groups of three from five on: 4096, 65 536. */
export function count(value) {
  if (!isFigure(value)) return NONE;
  const digits = String(value);
  return digits.length < 5 ? digits : digits.replace(/\B(?=(\d{3})+$)/g, '\u202f');
}

export const percent = (share) => (isFigure(share) ? `${significant(100 * share, 2)} %` : NONE);

/** Seconds since 1970 as "2025-11-29 08:16 UTC". */
export function moment(seconds) {
  if (!isFigure(seconds) || seconds <= 0) return NONE;
  return `${new Date(1000 * seconds).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** Sorts radius=64 before radius=256. */
export function natural(a, b) {
  const parts = (text) => text.split(/(\d+)/);
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < Math.min(left.length, right.length); ++i) {
    if (left[i] === right[i]) continue;
    const difference = i % 2 ? Number(left[i]) - Number(right[i]) : 0;
    if (difference) return difference;
    return left[i] < right[i] ? -1 : 1;
  }
  return left.length - right.length;
}
