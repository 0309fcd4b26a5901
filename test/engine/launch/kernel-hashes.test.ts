import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { toHex } from '../../../engine/bytes.js';
import { portableCrypto } from '../../../engine/crypto.js';
import { kernelHashPage, kernelHashTable } from '../../../engine/launch/kernel-hashes.js';

describe('kernel hashes', () => {
  const kernel = new Uint8Array();
  it('gives the table of an empty kernel', () => {
    const table = kernelHashTable({ kernel }, portableCrypto);
    assert.equal(table.length, 176);
    assert.equal(
      toHex(portableCrypto.sha256(table)),
      '6e725681a17ae9f186635cbc1be742508b61e0e550918894f1a5363ac86b5a1a',
    );
  });

  it('places it in its page', () => {
    assert.equal(
      toHex(portableCrypto.sha384(kernelHashPage({ kernel }, 0xc00, portableCrypto))),
      '7b581a6e6bc2ae2e8a0e875bd21d19d8b0cc96f035a9c8fb1d127d3ec75e21edbb830e1f1b5c47bf7644d7f3561bece3',
    );
  });

  it('hashes the command line as UTF-8 with its NUL', () => {
    const cmdline = (append: string): string =>
      toHex(kernelHashTable({ kernel, append }, portableCrypto).slice(36, 68));
    assert.equal(cmdline('console=ttyS0'), 'f18aae9b3c09e55bc3047ad361e2442d7c53372470b2958fb83293209a784f71');
    for (const text of ['', 'é', 'café ☃ 𝄞', '\ud800'])
      assert.equal(cmdline(text), createHash('sha256').update(`${text}\0`, 'utf8').digest('hex'));
  });
});
