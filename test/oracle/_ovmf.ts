import { readFileSync } from 'node:fs';
import { Vcpu } from '../../engine/cpu/system/vcpu.js';
import { explainFault } from '../../engine/fault.js';

const fw = readFileSync('/usr/share/ovmf/OVMF.fd');
const RAM = 128 << 20;
const base = 0x100000000 - fw.length;
let cfg = 0;
const ios = new Map<string, number>();
let dbg = '';
let ports = 0;
const cfgspace = new Map<number, number>();
let cmosIdx = 0;
const t = 0;
const v: Vcpu = new Vcpu(
  {
    guestBytes: RAM + fw.length + 4096,
    arenaBytes: 32 << 20,
    physicalBits: 48,
    cpuid: (l, s) =>
      l === 0
        ? [0xd, 0x68747541, 0x444d4163, 0x69746e65]
        : l === 1
          ? [0x00a00f11, 0x00000800, 0x00000000, 0x078bfbff & ~(1 << 12)]
          : l === 0x80000000
            ? [0x80000008, 0, 0, 0]
            : l === 0x80000001
              ? [0xa00f11, 0, 1, 0x2c100800]
              : l === 0x80000008
                ? [0x3028, 0, 0, 0]
                : [0, 0, 0, 0],
    intercept: (vc, i) => {
      const m = i.encoding!.mnemonic;
      if (m === 'IN' || m === 'OUT') {
        ports++;
        const portOp = m === 'IN' ? 1 : 0;
        const port = i.operands[portOp]!.place === 3 ? i.immediate & 0xff : vc.registers.get32(2) & 0xffff;
        const size = i.operands[1 - portOp]!.size;
        const k = m + port.toString(16);
        ios.set(k, (ios.get(k) ?? 0) + 1);
        if (m === 'OUT') {
          const val = vc.registers.get32(0);
          if (port === 0xcf8) cfg = val;
          else if ((port & ~3) === 0xcfc) cfgspace.set((cfg & 0x7fffffff) + (port & 3), val);
          else if (port === 0x70) cmosIdx = val & 0x7f;
          else if (port === 0x402) dbg += String.fromCharCode(val & 255);
          else if (port === 0x3f8) dbg += String.fromCharCode(val & 255);
        } else {
          let val = 0;
          if ((port & ~3) === 0xcfc) {
            const reg = (cfg & 0x7fffffff) + (port & 3);
            const dev = (cfg >>> 8) & 0xffff;
            const r = reg & 0xff;
            val =
              dev === 0
                ? r < 4
                  ? 0x29c08086 >>> (8 * (r & 3))
                  : (cfgspace.get(reg) ?? 0)
                : dev === 0xf8
                  ? r < 4
                    ? 0x29188086 >>> (8 * (r & 3))
                    : (cfgspace.get(reg) ?? 0)
                  : 0xffffffff;
          } else if (port === 0x608) val = Math.floor(vc.cpu.instructions / 10) & 0xffffff;
          else if (port === 0x71)
            val =
              cmosIdx === 0x34
                ? ((RAM - (16 << 20)) >> 16) & 255
                : cmosIdx === 0x35
                  ? ((RAM - (16 << 20)) >> 24) & 255
                  : 0;
          else if (port === 0x3fd) val = 0x60;
          else if (port === 0x402) val = 0xe9;
          else if (port === 0x510 || port === 0x511) val = 0;
          else val = 0xffffffff;
          const mask = size === 1 ? 0xffn : size === 2 ? 0xffffn : 0xffffffffn;
          vc.registers.set(
            0,
            size === 4 ? BigInt(val >>> 0) : (vc.registers.get(0) & ~mask) | (BigInt(val >>> 0) & mask),
          );
        }
        return true;
      }
      return false;
    },
  },
  {
    page: (a) => {
      a %= 2 ** 48;
      if (a < RAM) return { page: (v.cpu.guestStart + a) / 4096, writable: true };
      if (a >= base && a < 0x100000000) return { page: (v.cpu.guestStart + RAM + a - base) / 4096, writable: false };
      return { page: (v.cpu.guestStart + RAM + fw.length) / 4096, writable: true };
    },
  },
);
v.cpu.bytes.set(fw, v.cpu.guestStart + RAM);
v.registers.setSegment(1, { selector: 0xf000, attributes: 0x9b, limit: 0xffff, base: 0xffff0000n });
v.registers.rip = 0xfff0n;
v.modeChanged();
v.registers.set(2, 0xa00f11n);
for (const n of [0xfe, 0x2ff, 0x1b, 0x200, 0x201, 0x250, 0xc0010010, 0xc0010131, 0xc0010015, 0x8b, 0x3a, 0x48, 0x1a0])
  v.state.msrs.set(n, n === 0xfe ? 0x508n : n === 0x1b ? 0xfee00900n : 0n);
for (let n = 0x200; n < 0x270; n++) v.state.msrs.set(n, 0n);
const t0 = performance.now();
let r: any;
const lim = Number(process.argv[2] ?? 5e7);
const last = 0;
while (v.cpu.instructions < lim) {
  try {
    r = v.cpu.run(2e6);
  } catch (e) {
    console.log('THROW', e);
    break;
  }
  if (r.reason !== 'limit') break;
}
console.log(
  r.reason,
  r.fault ? explainFault(r.fault) : '',
  r.exception,
  'rip',
  v.registers.rip.toString(16),
  'n',
  v.cpu.instructions,
  (v.cpu.instructions / (performance.now() - t0) / 1000).toFixed(1) + ' MIPS',
  v.codeSize,
  v.state.cr0 >>> 0,
  v.state.efer,
  'blocks',
  v.cpu.code.statistics,
  'forms',
  v.cpu.formCount,
  'gen',
  v.cpu.code.generation,
);
console.log([...ios].map(([k, n]) => k + ':' + n).join(' '));
console.log(JSON.stringify(dbg.slice(0, 3000)));
