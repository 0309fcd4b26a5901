import assert from 'node:assert/strict';
import { createAcpiFiles } from '../../../../engine/vmm/devices/acpi-tables.js';

/** What firmware does with the three files: returns memory with the patched tables. */
function load(vcpus: number): { memory: Buffer; rsdp: number } {
  const { tables, rsdp, loader } = createAcpiFiles(vcpus, 0x1000_0000);
  const places = new Map<string, { readonly at: number; readonly length: number }>();
  const memory = Buffer.alloc(0x8_0000);
  let next = 0x1000;
  const commands = Buffer.from(loader);
  assert.equal(commands.length % 128, 0);
  const name = (at: number): string => commands.toString('latin1', at, at + 56).replace(/\0+$/, '');
  for (let at = 0; at < commands.length; at += 128) {
    const file = name(at + 4);
    const place = places.get(file);
    switch (commands.readUInt32LE(at)) {
      case 1: {
        const bytes = file === 'etc/acpi/rsdp' ? rsdp : tables;
        const align = commands.readUInt32LE(at + 60);
        next = Math.ceil(next / align) * align;
        places.set(file, { at: next, length: bytes.length });
        memory.set(bytes, next);
        next += bytes.length;
        break;
      }
      case 2: {
        const target = places.get(name(at + 60));
        assert.ok(place && target);
        const [offset, size] = [commands.readUInt32LE(at + 116), commands.readUInt8(at + 120)];
        assert.ok(offset + size <= place.length);
        const old = memory.readUIntLE(place.at + offset, Math.min(size, 6));
        assert.ok(old < target.length, 'points into the file');
        memory.writeUIntLE(old + target.at, place.at + offset, Math.min(size, 6));
        break;
      }
      case 3: {
        assert.ok(place);
        const [offset, start, length] = [60, 64, 68].map((o) => commands.readUInt32LE(at + o));
        assert.ok(offset !== undefined && start !== undefined && length !== undefined);
        memory[place.at + offset] = 0;
        memory[place.at + offset] = -sum(memory, place.at + start, length) & 0xff;
        break;
      }
      default:
        assert.fail('unknown command of the linker');
    }
  }
  return { memory, rsdp: places.get('etc/acpi/rsdp')?.at ?? 0 };
}

function sum(memory: Buffer, start: number, length: number): number {
  return memory.subarray(start, start + length).reduce((total, byte) => total + byte, 0) & 0xff;
}

function tablesOf({ memory, rsdp }: ReturnType<typeof load>): Map<string, Buffer> {
  assert.equal(memory.toString('latin1', rsdp, rsdp + 8), 'RSD PTR ');
  assert.deepEqual([sum(memory, rsdp, 20), sum(memory, rsdp, 36)], [0, 0]);
  const xsdt = Number(memory.readBigUInt64LE(rsdp + 24));
  const found = new Map<string, Buffer>();
  const add = (at: number): void => {
    const length = memory.readUInt32LE(at + 4);
    const signature = memory.toString('latin1', at, at + 4);
    if (signature !== 'FACS') assert.equal(sum(memory, at, length), 0, `checksum of ${signature}`);
    found.set(signature, memory.subarray(at, at + length));
  };
  add(xsdt);
  const root = found.get('XSDT') ?? Buffer.alloc(0);
  for (let at = 36; at < root.length; at += 8) add(Number(root.readBigUInt64LE(at)));
  const fadt = found.get('FACP') ?? Buffer.alloc(0);
  assert.equal(fadt.readUInt32LE(40), Number(fadt.readBigUInt64LE(140)));
  add(fadt.readUInt32LE(40));
  add(fadt.readUInt32LE(36));
  return found;
}

describe('ACPI tables', () => {
  it('have right checksums and pointers when firmware has loaded them', () => {
    const tables = tablesOf(load(2));
    assert.deepEqual([...tables.keys()].sort(), ['APIC', 'DSDT', 'FACP', 'FACS', 'HPET', 'MCFG', 'WAET', 'XSDT']);
    assert.equal(tables.get('FACP')?.length, 276);
    assert.equal(tables.get('HPET')?.length, 56);
    assert.equal(tables.get('MCFG')?.length, 60);
    assert.equal(tables.get('FACS')?.length, 64);
  });

  it('have a local APIC for each processor, and entries that fill the MADT', () => {
    for (const vcpus of [1, 4, 64]) {
      const madt = tablesOf(load(vcpus)).get('APIC') ?? Buffer.alloc(0);
      const types: number[] = [];
      let at = 44;
      for (; at < madt.length; at += madt.readUInt8(at + 1)) types.push(madt.readUInt8(at));
      assert.equal(at, madt.length);
      assert.equal(types.filter((type) => type === 0).length, vcpus);
      assert.equal(types.filter((type) => type === 1).length, 1);
    }
  });

  it('have packages in the DSDT that end where their length says', () => {
    const dsdt = tablesOf(load(4)).get('DSDT') ?? Buffer.alloc(0);
    // Scope (\_SB), then Name (\_S5).
    assert.equal(dsdt[36], 0x10);
    const lead = dsdt.readUInt8(37);
    const bytes = lead >> 6;
    let length = bytes === 0 ? lead & 0x3f : lead & 15;
    for (let i = 0; i < bytes; i++) length += dsdt.readUInt8(38 + i) * 2 ** (4 + 8 * i);
    const after = 37 + length;
    assert.equal(dsdt[after], 0x08);
    assert.equal(dsdt.toString('latin1', after + 1, after + 6), '\\_S5_');
  });
});
