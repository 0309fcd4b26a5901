import assert from 'node:assert/strict';
import { toHex } from '../../engine/bytes.js';
import { portableCrypto } from '../../engine/crypto.js';

describe('crypto', () => {
  it('hashes as FIPS 180-4 says', () => {
    assert.match(toHex(portableCrypto.sha384(new Uint8Array())), /^38b060a751ac96384cd9327eb1b1e36a21fdb71114be0743/);
  });
});
