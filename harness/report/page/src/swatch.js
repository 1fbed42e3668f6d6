// A variant's name beside its marker.
import { code, h, svg } from './dom.js';
import { colourOf, halves, markerPaths } from './looks.js';
import { onTheme, theme } from './theme.js';

let gradients = 0;

function paint(path, stops, look) {
  const colour = colourOf(look, theme());
  path.setAttribute('stroke', colour);
  if (look.fill === 'full') path.setAttribute('fill', colour);
  for (const stop of stops) stop.setAttribute('stop-color', colour);
}

/** The marker, as an image that says nothing to those who do not see it. */
export function swatch(look) {
  const path = svg('path', { d: markerPaths[look.marker], 'stroke-width': 0.24, fill: 'none' });
  const image = svg('svg', { class: 'swatch', viewBox: '-1.3 -1.3 2.6 2.6', 'aria-hidden': 'true' });
  const stops = [];
  if (look.fill in halves) {
    const id = `half-${++gradients}`;
    const [x1, y1, x2, y2] = halves[look.fill];
    stops.push(svg('stop', { offset: 0 }), svg('stop', { offset: 0.5 }));
    image.append(svg('linearGradient', { id, x1, y1, x2, y2 }, stops, svg('stop', { offset: 0.5, 'stop-opacity': 0 })));
    path.setAttribute('fill', `url(#${id})`);
  }
  image.append(path);
  paint(path, stops, look);
  image.look = { path, stops, look };
  return image;
}

onTheme(() => {
  for (const image of document.querySelectorAll('svg.swatch')) {
    if (image.look) paint(image.look.path, image.look.stops, image.look.look);
  }
});

/** A variant that opens its details. */
export function variantButton(row, look, open, attributes = {}) {
  return h('button', { type: 'button', class: 'variant', onclick: () => open(row), ...attributes },
    swatch(look), code(row.variant));
}
