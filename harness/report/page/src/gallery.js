// Which keys each query sees, as pictures.
import { code, h } from './dom.js';
import { count } from './format.js';
import { onTheme, theme } from './theme.js';

function rgb(colour) {
  const context = h('canvas', { width: 1, height: 1 }).getContext('2d');
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

function paint(canvas, panel) {
  const context = canvas.getContext('2d');
  const image = context.createImageData(panel.cells, panel.cells);
  const now = theme();
  const [back, full] = [rgb(now.back), rgb(now.accent)];
  for (let i = 0; i < panel.shares.length; ++i) {
    const share = Number.parseInt(panel.shares[i], 16) / 15;
    // What is seen at all is to be seen: a thin line is not to fade.
    const weight = share > 0 ? 0.25 + 0.75 * share : 0;
    for (let channel = 0; channel < 3; ++channel) {
      image.data[4 * i + channel] = back[channel] + weight * (full[channel] - back[channel]);
    }
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

export function mountGallery(section, page) {
  const { patterns } = page.model;
  if (!patterns?.panels.length) {
    section.append(h('p', { class: 'note' }, 'No variant here leaves out keys, or none that this program can draw.'));
  } else {
    section.append(h('p', { class: 'note' }, 'Which keys (across) each query (down) sees. Records hold no patterns: these were drawn by the program that made ',
      'this page, on Q, K, V of ', h('code', {}, patterns.input), ', with as many queries as keys. A cell is the darker, the more of its pairs are seen.'));
    const figures = patterns.panels.map((panel) => {
      const canvas = h('canvas', { width: panel.cells, height: panel.cells, role: 'img', 'aria-label': `Pattern of ${panel.title}` });
      paint(canvas, panel);
      onTheme(() => paint(canvas, panel));
      const whole = panel.title === panel.variant ? null : h('span', { class: 'interval' }, ' of ', code(panel.variant));
      return h('figure', {}, canvas, h('figcaption', {}, code(panel.title), whole,
        h('span', { class: 'interval' }, ` n = ${count(panel.length)}${panel.causal ? ', causal' : ''}`)));
    });
    section.append(h('div', { class: 'gallery' }, figures));
  }
  if (patterns?.left_out.length) {
    section.append(h('details', {}, h('summary', {}, `Left out: ${patterns.left_out.length}`),
      h('ul', {}, patterns.left_out.map(({ variant, reason }) => h('li', {}, code(variant), `: ${reason}`)))));
  }
}
