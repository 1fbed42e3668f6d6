// The variants of a chart as a list of buttons: names in full, and the way to points by keyboard.
import { h, replaceChildren } from '../dom.js';
import { variantButton } from '../swatch.js';

const MOST = 300;

const headings = {
  exact: 'exact', estimator: 'estimator: approximates dense', restriction: 'restriction: softmax over some keys',
  operation: 'operation: something else by design; a distance', control: 'control: what a method must beat',
  oracle: 'oracle: what its family cannot beat',
};

/** `drawn`: rows that have a point; `highlight(row, on)` shows which. */
export function fillList(list, rows, drawn, page, highlight) {
  const targets = [...new Set(rows.map((row) => row.target))];
  const entry = (row) => {
    const none = !drawn.has(row);
    const why = row.status === 'ok' ? 'no figure here' : row.status.replaceAll('_', ' ');
    return h('li', {}, variantButton(row, page.looks.get(row.variant), page.open, {
      onmouseenter: () => highlight(row, true), onmouseleave: () => highlight(row, false),
      onfocus: () => highlight(row, true), onblur: () => highlight(row, false),
      class: none ? 'variant absent' : 'variant',
    }), row.on_frontier && h('abbr', { title: 'on the frontier' }, '*'), none && h('span', { class: 'interval' }, ` ${why}`));
  };
  let room = MOST;
  replaceChildren(list, targets.map((target) => {
    const some = rows.filter((row) => row.target === target).slice(0, room);
    room -= some.length;
    return some.length > 0 && [h('h4', {}, headings[target] ?? target), h('ul', { class: 'plain' }, some.map(entry))];
  }), rows.length > MOST && h('p', { class: 'note' }, `and ${rows.length - MOST} more; all figures below have them`));
}
