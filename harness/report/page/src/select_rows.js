// Filtering and sorting of rows, and their CSV: no page needed.
import { columns } from './columns.js';
import { natural } from './format.js';

/** `wanted` has a value per column's key, '' for any, and `words`, all of which the variant holds. */
export function filtered(rows, wanted) {
  const words = (wanted.words ?? '').toLowerCase().split(/\s+/).filter(Boolean);
  const exact = columns.filter((column) => wanted[column.key] !== undefined && wanted[column.key] !== '');
  return rows.filter((row) => {
    const text = `${row.variant} ${row.resolved}`.toLowerCase();
    return words.every((word) => text.includes(word))
      && exact.every((column) => String(column.value(row)) === String(wanted[column.key]));
  });
}

/** A sorted copy; rows without the figure come last, whichever the direction. */
export function sorted(rows, column, descending) {
  const none = (value) => value === null || value === undefined || value === '';
  const sign = descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [left, right] = [column.value(a), column.value(b)];
    if (none(left) || none(right)) return none(left) - none(right);
    return sign * (column.text ? natural(left, right) : left - right);
  });
}

function field(value) {
  if (value === null || value === undefined) return '';
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** All columns, figures in base units and with all their digits, bounds beside them. */
export function csvOf(rows) {
  const cells = columns.flatMap((column) => (column.low
    ? [[column.key, column.value], [`${column.key}_low`, column.low], [`${column.key}_high`, column.high]]
    : [[column.key, column.value]]));
  const lines = [cells.map(([key]) => key), ...rows.map((row) => cells.map(([, get]) => get(row)))];
  return lines.map((line) => `${line.map(field).join(',')}\n`).join('');
}
