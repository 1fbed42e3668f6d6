// Elements are made of nodes and text alone: no text from records is ever parsed as HTML.

function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return parent;
}

function assign(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  return element;
}

/** An HTML element; attributes that begin with `on` are listeners. */
export function h(tag, attributes = {}, ...children) {
  return append(assign(document.createElement(tag), attributes), children);
}

/** The same of SVG. */
export function svg(tag, attributes = {}, ...children) {
  return append(assign(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes), children);
}

export function replaceChildren(element, ...children) {
  element.replaceChildren();
  return append(element, children);
}

/** An expression in code, which may be broken after commas, opening brackets and slashes. */
export function code(text) {
  return h('code', {}, text.split(/(?<=[,(/])/).map((part, i) => (i ? [document.createElement('wbr'), part] : part)));
}

/** A labelled choice. `options` are [value, text]; `change` is called with the value. */
export function select(label, options, value, change) {
  const list = h('select', { onchange: () => change(list.value) },
    options.map(([key, text]) => h('option', { value: key, selected: String(key) === String(value) }, text)));
  return h('label', {}, `${label} `, list);
}

/** Hands a text over as a file. */
export function download(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  h('a', { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
