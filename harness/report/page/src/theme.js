// Colours of charts and canvases, read from the styles, so that they are said once.

const dark = matchMedia('(prefers-color-scheme: dark)');
let printing = false;
const listeners = new Set();

/** The present colours; on paper always the light ones. */
export function theme() {
  const styles = getComputedStyle(document.documentElement);
  const of = (name) => styles.getPropertyValue(name).trim();
  if (printing) {
    return { dark: false, text: '#111', faint: '#555', line: '#ddd', back: '#fff', accent: '#0072B2' };
  }
  return { dark: dark.matches, text: of('--text'), faint: of('--faint'), line: of('--line'), back: of('--back'),
    accent: of('--accent') };
}

/** Calls `redraw` when colours have changed. */
export function onTheme(redraw) {
  listeners.add(redraw);
}

function tell() {
  for (const redraw of listeners) redraw();
}
dark.addEventListener('change', tell);
for (const [event, now] of [['beforeprint', true], ['afterprint', false]]) {
  addEventListener(event, () => {
    printing = now;
    tell();
  });
}
