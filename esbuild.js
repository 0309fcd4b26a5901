/**
 * Bundles the product into dist/ and, with --tests, the extension tests into out/test/.
 *   node esbuild.js [--production] [--watch] [--tests]
 */
const esbuild = require('esbuild');
const { copyFileSync, mkdirSync, readdirSync } = require('node:fs');
const path = require('node:path');

const production = process.argv.includes('--production');
const watch = process.argv.includes('--watch');
const tests = process.argv.includes('--tests');

/** @type {import('esbuild').BuildOptions} */
const common = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  // Some packages have a CommonJS main whose dynamic requires cannot be bundled; their modules can.
  mainFields: ['module', 'main'],
  sourcemap: production ? false : 'linked',
  minify: production,
  legalComments: 'none',
  logLevel: 'warning',
};

/** The language client stays a file of its own, so that activation does not have to load it. */
const lazyLanguageClient = {
  name: 'lazy-language-client',
  setup(build) {
    build.onResolve({ filter: /^\.\/language-client\.js$/ }, (found) => ({ path: found.path, external: true }));
  },
};

/** @type {import('esbuild').BuildOptions[]} */
const product = [
  {
    ...common,
    entryPoints: { extension: 'client/extension.ts' },
    external: ['vscode'],
    outdir: 'dist',
    // The extension host hooks require(), not import().
    supported: { 'dynamic-import': false },
    plugins: [lazyLanguageClient],
  },
  { ...common, entryPoints: { 'language-client': 'client/language-client.ts' }, external: ['vscode'], outdir: 'dist' },
  {
    ...common,
    entryPoints: { server: 'server/main.ts', 'debug-adapter': 'debug-adapter/main.ts', cli: 'cli/main.ts' },
    outdir: 'dist',
  },
];

function testBuild() {
  const suites = readdirSync('test/extension').filter((name) => name.endsWith('.test.ts'));
  return {
    ...common,
    minify: false,
    sourcemap: 'inline',
    entryPoints: [...suites, 'index.ts'].map((name) => path.join('test/extension', name)),
    outdir: 'out/test/extension',
    external: ['vscode', 'mocha'],
  };
}

/** Lines that the problem matcher of .vscode/tasks.json waits for. */
const announce = {
  name: 'announce',
  setup(build) {
    build.onStart(() => console.log('[watch] build started'));
    build.onEnd((result) => {
      for (const { text, location } of result.errors) {
        console.error(`error: ${text}\n    ${location?.file}:${location?.line}:${location?.column}:`);
      }
      console.log('[watch] build finished');
    });
  },
};

/** The disassembler's WebAssembly, which its module reads from its own folder, and so from the bundle's. */
function copyDisassembler() {
  mkdirSync('dist', { recursive: true });
  copyFileSync(require.resolve('iced-x86/iced_x86_bg.wasm'), path.join('dist', 'iced_x86_bg.wasm'));
}

async function main() {
  copyDisassembler();
  const builds = [...product, ...(tests ? [testBuild()] : [])];
  if (!watch) {
    await Promise.all(builds.map((options) => esbuild.build(options)));
    return;
  }
  for (const options of builds) {
    const context = await esbuild.context({ ...options, plugins: [...(options.plugins ?? []), announce] });
    await context.watch();
  }
}

main().catch((error) => {
  // esbuild has printed its own errors already.
  if (!error.errors) console.error(error);
  process.exitCode = 1;
});
