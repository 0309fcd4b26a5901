import assert from 'node:assert/strict';
import { createDecipheriv } from 'node:crypto';
import fc from 'fast-check';
import {
  decodeMessageHeader,
  MESSAGE_HEADER_SIZE,
  MESSAGE_MAX_PAYLOAD,
  MESSAGE_TYPE,
  type Message,
  messageTypeName,
  openMessage,
  sealMessage,
} from '../../../engine/asp/guest-message.js';
import { toHex } from '../../../engine/bytes.js';

const KEY = Uint8Array.from({ length: 32 }, (_, i) => i);

const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });
const messages: fc.Arbitrary<Message> = fc.record(
  {
    sequence: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    type: fc.nat(255),
    version: fc.nat(255),
    vmpck: fc.nat(3),
    payload: fc.uint8Array({ maxLength: 200 }),
  },
  { noNullPrototype: true },
);

describe('a guest message', () => {
  const cases: {
    readonly name: string;
    readonly message: Message;
    readonly header: string;
    readonly ciphertext: string;
    readonly tag: string;
  }[] = [
    {
      name: 'MSG_REPORT_REQ 1',
      message: {
        sequence: 1n,
        type: MESSAGE_TYPE.REPORT_REQ,
        version: 1,
        vmpck: 0,
        payload: Uint8Array.from({ length: 96 }, (_, i) => (i < 64 ? i : 0)),
      },
      header: '0101600005016000',
      ciphertext:
        'e22d803ca0aaea00420d0fc830cc86c4dc70dd3d68bd7d05560647e5013b996fccddd2ea048788e8f0f437f862242ea7c0e4fcb7d1456ca0bbb1da492b891678bcafa49213c0f2445044cd48be94fd5eb5f3e8b761e80896f353185b4abd740d',
      tag: '0f354f26b13f7433d3674d8eebcaf847',
    },
    {
      name: 'MSG_KEY_RSP 2',
      message: {
        sequence: 2n,
        type: MESSAGE_TYPE.KEY_RSP,
        version: 1,
        vmpck: 0,
        payload: new Uint8Array(64).fill(0xaa, 32),
      },
      header: '0101600004014000',
      ciphertext:
        'e66eeb60faa568bdadbd6e148c86f702510c68c0d6fb80134a76183a68817913bf5ee16cc1e4b1e10af8c355d7a4012483c0ee45e222367904ab4472e1f3029f',
      tag: '4353abd8f5aa51639205ab2539cd181a',
    },
  ];
  for (const { name, message, header, ciphertext, tag } of cases) {
    it(`${name} has the bytes that others compute`, () => {
      const sealed = sealMessage(KEY, message);
      assert.equal(toHex(sealed.subarray(0x30, 0x38)), header);
      assert.equal(toHex(sealed.subarray(0x38, 0x60)), '00'.repeat(0x28));
      assert.equal(toHex(sealed.subarray(MESSAGE_HEADER_SIZE)), ciphertext);
      assert.equal(toHex(sealed.subarray(0, 32)), tag + '00'.repeat(16));
      assert.equal(toHex(sealed.subarray(0x20, 0x28)), `0${message.sequence}00000000000000`);
    });
  }

  it('opens as what was sealed, and OpenSSL decrypts it', () => {
    fc.assert(
      fc.property(bytes(32), messages, (key, message) => {
        const sealed = sealMessage(key, message);
        assert.deepEqual(openMessage(key, sealed), message);
        assert.equal(decodeMessageHeader(sealed).reservedAt, undefined);
        const nonce = Buffer.alloc(12);
        nonce.writeBigUInt64LE(message.sequence);
        const decipher = createDecipheriv('aes-256-gcm', key, nonce);
        decipher.setAAD(sealed.subarray(0x30, 0x60));
        decipher.setAuthTag(sealed.subarray(0, 16));
        const plain = Buffer.concat([decipher.update(sealed.subarray(0x60)), decipher.final()]);
        assert.deepEqual(new Uint8Array(plain), message.payload);
      }),
      { numRuns: 40 },
    );
  });

  it('does not open with any bit of tag, number, header or payload changed, nor with another key', () => {
    const message = cases[0]?.message;
    assert.ok(message);
    const sealed = sealMessage(KEY, message);
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const at = bit >> 3;
      // Bytes 16 to 31 of the tag field and the word after the number are in no computation.
      if ((at >= 0x10 && at < 0x20) || (at >= 0x28 && at < 0x30)) continue;
      const changed = sealed.slice();
      changed[at] = (changed[at] ?? 0) ^ (1 << (bit & 7));
      assert.equal(openMessage(KEY, changed), undefined, `bit ${bit & 7} of byte ${at}`);
    }
    assert.equal(openMessage(KEY.slice().fill(9, 31), sealed), undefined);
  });

  it('has at most 4000 bytes', () => {
    const message = { sequence: 1n, type: 1, version: 1, vmpck: 0 };
    assert.equal(sealMessage(KEY, { ...message, payload: new Uint8Array(MESSAGE_MAX_PAYLOAD) }).length, 4096);
    assert.throws(() => sealMessage(KEY, { ...message, payload: new Uint8Array(4001) }), RangeError);
  });

  it('has a name as AMD spells it', () => {
    assert.equal(messageTypeName(5), 'MSG_REPORT_REQ');
    assert.equal(messageTypeName(18), 'MSG_TSC_INFO_RSP');
    assert.equal(messageTypeName(0), undefined);
  });
});
