// Bundles the page's modules, styles and the charting library into one HTML file without records:
//
//     node build.mjs NODE_MODULES OUT.html        the page
//     node build.mjs NODE_MODULES --tests FOLDER  its unit tests, for node --test
//
// NODE_MODULES is where `npm ci` has put the libraries, which need not be beside the sources.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const [modules, ...words] = process.argv.slice(2);
const esbuild = createRequire(resolve(modules, 'package.json'))('esbuild');

const shared = {
  bundle: true,
  charset: 'utf8',
  legalComments: 'none', // licences stand in the page, whole
  logLevel: 'warning',
  nodePaths: [resolve(modules)],
  target: 'es2022',
};

// Of all that is in the bundle.
const libraries = ['echarts', 'zrender', 'tslib', '@noble/hashes'];
const licenceFiles = ['LICENSE', 'LICENSE.txt', 'NOTICE', 'licenses/LICENSE-d3'];

function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function licences() {
  return libraries.map((library) => {
    const folder = join(modules, library);
    const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const texts = licenceFiles.map((file) => join(folder, file)).filter(existsSync)
      .map((file) => escaped(readFileSync(file, 'utf8').trim()));
    if (!texts.length) throw new Error(`${library}: no licence found`);
    return `<h3>${library} ${version}</h3>\n<pre>${texts.join('\n\n')}</pre>`;
  }).join('\n');
}

// `from` must stand in the text once; `to` is taken as it is, dollar signs included.
function replaced(text, from, to) {
  const parts = text.split(from);
  if (parts.length !== 2) throw new Error(`page.html: ${from} stands there ${parts.length - 1} times`);
  return parts.join(to);
}

async function page() {
  const bundle = async (entry) => {
    const options = { ...shared, entryPoints: [join(here, entry)], minify: true, write: false };
    const { outputFiles } = await esbuild.build({ ...options, format: 'iife' });
    return outputFiles[0].text.trim();
  };
  const script = await bundle('src/main.js');
  const style = await bundle('style.css');
  if (/<\/script|<!--/i.test(script)) throw new Error('the bundle would end its own element');
  const hash = createHash('sha256').update(script).digest('base64');
  let text = readFileSync(join(here, 'page.html'), 'utf8');
  text = replaced(text, '/* style */', style);
  text = replaced(text, '/* hash of the script */', `'sha256-${hash}'`);
  text = replaced(text, '<!-- licences -->', licences());
  return replaced(text, '/* script */', script);
}

if (words[0] === '--tests') {
  const tests = readdirSync(join(here, 'tests')).filter((name) => name.endsWith('.test.js'));
  await esbuild.build({
    ...shared,
    entryPoints: tests.map((name) => join(here, 'tests', name)),
    format: 'esm',
    outdir: words[1],
    outExtension: { '.js': '.mjs' },
    platform: 'node',
  });
} else {
  writeFileSync(words[0], await page());
}
