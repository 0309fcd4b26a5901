import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import {
  decodeKeyResponse,
  encodeKeyRequest,
  KEY_FIELD,
  type KeyRequest,
  keyMixData,
} from '../../../../engine/asp/attestation/key-request.js';
import { machineVcek, vcekPrivateKey } from '../../../../engine/asp/attestation/vcek.js';
import { MESSAGE_TYPE } from '../../../../engine/asp/guest-message.js';
import { decodeIdBlock } from '../../../../engine/asp/id-block.js';
import type { GuestContext } from '../../../../engine/asp/state.js';
import { isZero, toHex } from '../../../../engine/bytes.js';
import { firmwareProfile } from '../../../../engine/spec/versions.js';
import { type Channel, exchange, openChannel } from '../guest-channel.js';

const ALL = Object.values(KEY_FIELD).reduce((a, b) => a | b, 0n) & ~KEY_FIELD.LAUNCH_MIT_VECTOR;
const BASE: KeyRequest = { rootKey: 0, keySelect: 0, fields: 0n, vmpl: 0, guestSvn: 0, tcb: 0n };

const newChannel = (): Channel => openChannel({ machine: { firmware: firmwareProfile(58) } });

function deriveKey(channel: Channel, request: Partial<KeyRequest>, vmpck = 0): Uint8Array {
  const full = { ...BASE, ...request };
  const version = full.mitigations === undefined ? 1 : 2;
  const payload = exchange(channel, MESSAGE_TYPE.KEY_REQ, encodeKeyRequest(full), { vmpck, version });
  const response = decodeKeyResponse(payload);
  assert.ok(response);
  assert.deepEqual([response.status, payload.length], [0, 64]);
  assert.ok(!isZero(response.key));
  return response.key;
}

describe('a derived key', () => {
  const vary: [string, Partial<KeyRequest>, change: (guest: GuestContext) => void, KeyRequest['fields']][] = [
    ['POLICY', {}, (guest) => (guest.policy ^= 1n), KEY_FIELD.POLICY],
    ['IMAGE_ID', {}, (guest) => guest.idBlock?.imageId.fill(9), KEY_FIELD.IMAGE_ID],
    ['FAMILY_ID', {}, (guest) => guest.idBlock?.familyId.fill(9), KEY_FIELD.FAMILY_ID],
    ['MEASUREMENT', {}, (guest) => (guest.ld = guest.ld.slice().fill(9)), KEY_FIELD.MEASUREMENT],
    ['GUEST_SVN', { guestSvn: 3 }, () => undefined, KEY_FIELD.GUEST_SVN],
    ['TCB_VERSION', { tcb: 1n }, () => undefined, KEY_FIELD.TCB_VERSION],
  ];
  const idBlock = () => decodeIdBlock(Uint8Array.from({ length: 96 }, (_, i) => (i === 0x54 ? 4 : 0)));
  for (const [name, request, change, field] of vary) {
    it(`depends on ${name} if that is selected, and not otherwise`, () => {
      for (const selected of [true, false]) {
        const channel = newChannel();
        channel.guest.idBlock = idBlock();
        const fields = selected ? ALL : ALL & ~field;
        const before = deriveKey(channel, { fields });
        change(channel.guest);
        const after = deriveKey(channel, { fields, ...request });
        assert.equal(toHex(after) !== toHex(before), selected, selected ? 'selected' : 'not selected');
      }
    });
  }

  it('always depends on VMPL, root key, host data and the key that signed the ID block', () => {
    const channel = newChannel();
    const base = deriveKey(channel, {});
    const others = [deriveKey(channel, { vmpl: 1 }), deriveKey(channel, { rootKey: 1 })];
    channel.guest.idKeyDigest = new Uint8Array(48).fill(1);
    others.push(deriveKey(channel, {}));
    channel.guest.hostData = new Uint8Array(32).fill(1);
    others.push(deriveKey(channel, {}));
    assert.equal(new Set([base, ...others].map(toHex)).size, 5);
  });

  it('depends on the author key instead of the ID key where there is one', () => {
    const channel = newChannel();
    channel.guest.authorKeyEnabled = true;
    const keys = [deriveKey(channel, {})];
    channel.guest.idKeyDigest = new Uint8Array(48).fill(1);
    keys.push(deriveKey(channel, {}));
    channel.guest.authorKeyDigest = new Uint8Array(48).fill(1);
    keys.push(deriveKey(channel, {}));
    const [base, otherId, otherAuthor] = keys.map(toHex);
    assert.equal(otherId, base);
    assert.notEqual(otherAuthor, base);
  });

  it('is the same again, also under the key of a lower VMPL', () => {
    const channel = newChannel();
    const first = toHex(deriveKey(channel, { vmpl: 3, fields: ALL }));
    assert.equal(toHex(deriveKey(channel, { vmpl: 3, fields: ALL })), first);
    assert.equal(toHex(deriveKey(channel, { vmpl: 3, fields: ALL }, 2)), first);
    assert.equal(toHex(deriveKey(newChannel(), { vmpl: 3, fields: ALL })), first);
  });

  it('of the VMRK is that of the agent once it gave one', () => {
    const channel = newChannel();
    const own = toHex(deriveKey(channel, { rootKey: 1 }));
    channel.guest.vmrk = new Uint8Array(32).fill(5);
    assert.notEqual(toHex(deriveKey(channel, { rootKey: 1 })), own);
    // Two guests of one machine do not share it.
    const other = newChannel();
    other.guest.reportId.fill(1);
    assert.notEqual(toHex(deriveKey(other, { rootKey: 1 })), own);
  });

  it('of version 2 is another one', () => {
    const channel = newChannel();
    assert.notEqual(toHex(deriveKey(channel, { mitigations: 0n })), toHex(deriveKey(channel, {})));
  });

  it('is HMAC-SHA-256 in counter mode over the mix data', () => {
    const channel = newChannel();
    const request = { ...BASE, fields: ALL, vmpl: 1 };
    const { chipId, tcb } = machineVcek(channel.machine);
    const expected = createHmac('sha256', vcekPrivateKey(chipId, tcb))
      .update(Buffer.from([0, 0, 0, 1]))
      .update('gmsg-keyreq\0')
      .update(keyMixData(request, channel.guest))
      .update(Buffer.from([0, 0, 1, 0]))
      .digest('hex');
    assert.equal(toHex(deriveKey(channel, request)), expected);
  });
});
