import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { PAGE_SIZE, type Pfn, pfn } from '../../../engine/address.js';
import { parseManifest } from '../../../engine/launch/manifest/parse.js';
import { resolvePlan } from '../../../engine/launch/resolve.js';
import {
  allocPage,
  createSystemMemory,
  freePage,
  type PhysicalPage,
  patchPage,
  plainPage,
  readPage,
  residentSlot,
  type SystemMemory,
  writePage,
} from '../../../engine/memory/system-memory.js';
import { nextEvent } from '../../../engine/timeline/run.js';
import { launch } from '../../../engine/vmm/launch.js';
import { createFileSource } from '../../../platform/file-source.js';
import { nativeCrypto } from '../../../platform/native-crypto.js';

const word = (bytes: Uint8Array): bigint => new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);

/** samples/guests/page-states.c */
const PRIVATE_TEXT = 0x6574_6176_6972_7021n;

/** Slots in an array, as the processor has them in its linear memory. */
function withSlots(memory: SystemMemory, count: number): SystemMemory {
  const bytes = new Uint8Array(count * PAGE_SIZE);
  const free = Array.from({ length: count }, (_, n) => n);
  memory.resident = {
    admit(page: PhysicalPage) {
      const slot = free.pop();
      if (slot === undefined) return undefined;
      const live = bytes.subarray(slot * PAGE_SIZE, (slot + 1) * PAGE_SIZE);
      live.set(page.content.bytes);
      page.content = { bytes: live, frozen: false };
      page.slot = slot;
      return slot;
    },
    written: () => {},
    rekeyed: () => {},
    release: (slot) => free.push(slot),
  };
  return memory;
}

describe('What the host sees of guests’ memory', () => {
  it('is never plain text, however pages change hands', () => {
    const GUESTS = [1, 2];
    const FRAMES = 4;
    const frame = fc.nat(FRAMES - 1);
    const owner = fc.constantFrom(0, ...GUESTS);
    const step = fc.oneof(
      fc.record({ what: fc.constant('work' as const), frame, key: owner }),
      fc.record({ what: fc.constant('write' as const), frame, key: owner }),
      fc.record({ what: fc.constant('patch' as const), frame, key: owner }),
      fc.record({ what: fc.constant('free' as const), frame, key: owner }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const memory = withSlots(createSystemMemory(16 * PAGE_SIZE, pfn(0), nativeCrypto), FRAMES);
        for (const key of GUESTS) memory.keys.set(key, new Uint8Array(32).fill(key));
        const frames: Pfn[] = [];
        for (let n = 0; n < FRAMES; n++) frames.push(allocPage(memory, 'test') ?? assert.fail());
        /** Texts by the key under which they were written, each written once. */
        const texts = new Map<bigint, number>();
        let next = 0x5eed_0000_0000_0001n;
        const text = (key: number): Uint8Array => {
          const bytes = new Uint8Array(8);
          new DataView(bytes.buffer).setBigUint64(0, ++next, true);
          texts.set(next, key);
          return bytes;
        };
        for (const { what, frame: n, key } of steps) {
          const at = frames[n] ?? assert.fail();
          if (what === 'free') {
            freePage(memory, at);
            frames[n] = allocPage(memory, 'test') ?? assert.fail();
          } else if (what === 'write') {
            const bytes = new Uint8Array(PAGE_SIZE);
            bytes.set(text(key));
            writePage(memory, at, { bytes, frozen: false }, key);
          } else if (what === 'patch') {
            patchPage(memory, at, 0, text(key), key);
          } else {
            residentSlot(memory, at, key);
            plainPage(memory, at).content.bytes.set(text(key));
          }
          for (const each of frames) {
            for (const reader of [0, ...GUESTS]) {
              const seen = texts.get(word(readPage(memory, each, reader)));
              assert.ok(seen === undefined || seen === 0 || seen === reader, `key ${reader} reads what ${seen} wrote`);
            }
          }
        }
      }),
    );
  });

  it('is never what page-states writes to its private pages', function () {
    this.timeout(120_000);
    const path = join(import.meta.dirname, '../../../samples/guests/page-states.snp.yaml');
    const { plan } = resolvePlan(parseManifest(readFileSync(path, 'utf8'), path), createFileSource(), nativeCrypto);
    assert.ok(plan);
    // PRIVATE_TEXT ^ address stands at the head of each private page, from FREE_MEMORY on.
    const [start, end] = [0xa0_0000n, 0xe0_0000n];
    const isPrivateText = (value: bigint): boolean => {
      const address = value ^ PRIVATE_TEXT;
      return address >= start && address < end;
    };
    const run = launch(plan, { crypto: nativeCrypto, run: true });
    const { memory } = run.machine;
    const seen = { private: 0, events: 0 };
    const frames = new Set<Pfn>();
    const look = (at: Pfn): void => {
      if (isPrivateText(word(plainPage(memory, at).content.bytes))) seen.private++;
      assert.ok(!isPrivateText(word(readPage(memory, at))), `frame ${at} after event ${run.position}`);
    };
    for (let event = nextEvent(run); event; event = nextEvent(run)) {
      if (event.kind === 'rmp') {
        frames.add(event.change.pfn);
        look(event.change.pfn);
      } else if (event.kind === 'exit' && ++seen.events % 40 === 0) frames.forEach(look);
    }
    assert.ok(run.outcome?.exit?.reason === 'termination' && run.outcome.exit.code === 0);
    // The guest has written it, and the test would have found it.
    assert.ok(seen.private > 1000);
  });
});
