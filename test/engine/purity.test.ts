import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import { build } from 'esbuild';
import { toHex } from '../../engine/bytes.js';
import { parseManifest } from '../../engine/launch/manifest/parse.js';
import { resolvePlan } from '../../engine/launch/resolve.js';
import { dryRun } from '../../engine/vmm/launch.js';
import { createFileSource } from '../../platform/file-source.js';

const root = join(__dirname, '..', '..');
const engine = join(root, 'engine');
const PACKAGES = /^(yaml|@noble\/(hashes|curves|ciphers))(\/|$)/;

const sources = readdirSync(engine, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => join(engine, name));

describe('the engine', () => {
  it('imports itself and three libraries, nothing else', () => {
    const foreign: string[] = [];
    for (const file of sources) {
      const text = readFileSync(file, 'utf8');
      for (const [, name = ''] of text.matchAll(/(?<![.\w])(?:from|import|require)\s*\(?\s*'([^'\n]+)'/g)) {
        const inside = name.startsWith('.') && !relative(engine, resolve(file, '..', name)).startsWith('..');
        if (!inside && !PACKAGES.test(name)) foreign.push(`${relative(root, file)}: ${name}`);
      }
    }
    assert.deepEqual(foreign, []);
    assert.ok(sources.length > 50);
  });

  it('has no clock, no randomness and no promise', () => {
    const forbidden =
      /\b(Math\.random|Date\b|performance\.|setTimeout|setInterval|setImmediate|async |await |Promise\b)/;
    const found = sources.flatMap((file) =>
      readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => !/^\s*(\/?\*|\/\/)/.test(line) && forbidden.test(line.replace(/'[^']*'|`[^`]*`/g, "''")))
        .map((line) => `${relative(root, file)}: ${line.trim()}`),
    );
    assert.deepEqual(found, []);
  });

  it('launches in a context that has nothing but the language, with the same digest', async () => {
    const bundle = await build({
      stdin: {
        contents: `
          export { parseManifest } from './engine/launch/manifest/parse.ts';
          export { resolvePlan } from './engine/launch/resolve.ts';
          export { dryRun } from './engine/vmm/launch.ts';`,
        resolveDir: root,
        loader: 'ts',
      },
      bundle: true,
      platform: 'browser',
      format: 'iife',
      globalName: 'engine',
      write: false,
      logLevel: 'silent',
    });
    const manifest = join(root, 'samples', 'minimal.snp.yaml');
    const text = readFileSync(manifest, 'utf8');
    const image = readFileSync(join(root, 'samples', 'firmware', 'minimal.fd'));

    // What every JavaScript host has and the language itself has not.
    const context = createContext({ TextEncoder, TextDecoder, console: undefined });
    runInContext(bundle.outputFiles[0]?.text ?? '', context);
    Object.assign(context, { text, hex: toHex(image) });
    const digest = runInContext(
      `(() => {
        const bytes = Uint8Array.from(hex.match(/../g), (pair) => parseInt(pair, 16));
        const files = {
          read: (path) => ({ ok: true, file: { path, bytes } }),
          findFirmware: () => ({ tried: [] }),
        };
        const { plan, faults } = engine.resolvePlan(engine.parseManifest(text, 'minimal.snp.yaml'), files);
        if (!plan) return JSON.stringify(faults);
        const { digest, fault } = engine.dryRun(plan);
        return digest ? Array.from(digest, (b) => b.toString(16).padStart(2, '0')).join('') : JSON.stringify(fault);
      })()`,
      context,
    );

    const { plan } = resolvePlan(parseManifest(text, manifest), createFileSource());
    const here = plan && dryRun(plan).digest;
    assert.ok(here);
    assert.equal(digest, toHex(here));
  });
});
