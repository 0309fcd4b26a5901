import { type EncodingOptions, type EncodingRow, forEachCondition, row } from './encoding.js';

/** Integer and system instructions after 0F: APM volume 3, tables, groups in table A-6. */

const ALL = 'OSZAPC';
const hex2 = (n: number): string => n.toString(16).padStart(2, '0');
const bitTest: EncodingOptions = { writes: 'C', undefined: 'OSAP' };
const rare: EncodingOptions = { ends: true };
const ring0: EncodingOptions = { ends: true, privileged: true };

function integerRows(): EncodingRow[] {
  const bits = (extension: number, opcode: string, mnemonic: string, lock: boolean): EncodingRow[] => [
    row(`0F ${opcode}`, mnemonic, ['Ev', 'Gv'], { ...bitTest, lock, semantics: `${mnemonic}_REG` }),
    row(`0F BA /${extension}`, mnemonic, ['Ev', 'Ic'], { ...bitTest, lock }),
  ];
  const double: EncodingOptions = { writes: 'SZPC', undefined: 'OA' };
  return [
    ...forEachCondition(0x40, (opcode, cc, reads) =>
      row(`0F ${opcode}`, `CMOV${cc}`, ['Gv', 'Ev'], { semantics: 'CMOVcc', reads }),
    ),
    ...forEachCondition(0x80, (opcode, cc, reads) =>
      row(`0F ${opcode}`, `J${cc}`, ['Jz'], { semantics: 'Jcc', size: 'default64', ends: true, reads }),
    ),
    ...forEachCondition(0x90, (opcode, cc, reads) =>
      row(`0F ${opcode}`, `SET${cc}`, ['Eb'], { semantics: 'SETcc', reads }),
    ),
    ...bits(4, 'A3', 'BT', false),
    ...bits(5, 'AB', 'BTS', true),
    ...bits(6, 'B3', 'BTR', true),
    ...bits(7, 'BB', 'BTC', true),
    row('0F A4', 'SHLD', ['Ev', 'Gv', 'Ic'], double),
    row('0F A5', 'SHLD', ['Ev', 'Gv', 'CL'], double),
    row('0F AC', 'SHRD', ['Ev', 'Gv', 'Ic'], double),
    row('0F AD', 'SHRD', ['Ev', 'Gv', 'CL'], double),
    row('0F AF', 'IMUL', ['Gv', 'Ev'], { writes: 'OC', undefined: 'SZAP', semantics: 'IMUL2' }),
    row('0F B0', 'CMPXCHG', ['Eb', 'Gb'], { writes: ALL, lock: true }),
    row('0F B1', 'CMPXCHG', ['Ev', 'Gv'], { writes: ALL, lock: true }),
    row('0F C7 /1', 'CMPXCHG8B', ['M'], { writes: 'Z', lock: true }),
    row('0F C0', 'XADD', ['Eb', 'Gb'], { writes: ALL, lock: true }),
    row('0F C1', 'XADD', ['Ev', 'Gv'], { writes: ALL, lock: true }),
    row('0F B6', 'MOVZX', ['Gv', 'Eb']),
    row('0F B7', 'MOVZX', ['Gv', 'Ew']),
    row('0F BE', 'MOVSX', ['Gv', 'Eb']),
    row('0F BF', 'MOVSX', ['Gv', 'Ew']),
    row('F3 0F B8', 'POPCNT', ['Gv', 'Ev'], { writes: ALL }),
    row('0F BC', 'BSF', ['Gv', 'Ev'], { writes: 'Z', undefined: 'OSAPC' }),
    row('0F BD', 'BSR', ['Gv', 'Ev'], { writes: 'Z', undefined: 'OSAPC' }),
    row('F3 0F BC', 'TZCNT', ['Gv', 'Ev'], { writes: 'ZC', undefined: 'OSAP' }),
    row('F3 0F BD', 'LZCNT', ['Gv', 'Ev'], { writes: 'ZC', undefined: 'OSAP' }),
    row('0F C8+r', 'BSWAP', ['Zv']),
    row('NP 0F C3', 'MOVNTI', ['My', 'Gy'], { semantics: 'MOV' }),
    row('0F 1F', 'NOP', ['Ev']),
    ...[0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e].map((opcode) => row(`0F ${hex2(opcode)}`, 'NOP', ['Ev'])),
    // The register form is #UD: tried on Zen 5.
    row('0F 0D /reg', 'PREFETCH', ['Ev'], { ...rare, semantics: 'UD2' }),
    row('0F 0D /mem', 'PREFETCH', ['Mb'], { semantics: 'NOP' }),
    row('0F B9', 'UD1', ['Gv', 'Ev'], rare),
    row('0F FF', 'UD0', [], rare),
    row('0F 0B', 'UD2', [], rare),
  ];
}

function segmentRows(): EncodingRow[] {
  // AMD has no 64-bit offset here: tried on Zen 5.
  const pointer: EncodingOptions = { ...rare, size: 'atMost32' };
  return [
    row('0F A0', 'PUSH', ['FS'], { size: 'default64', semantics: 'PUSH_SEG' }),
    row('0F A8', 'PUSH', ['GS'], { size: 'default64', semantics: 'PUSH_SEG' }),
    row('0F A1', 'POP', ['FS'], { size: 'default64', semantics: 'POP_SEG', ends: true }),
    row('0F A9', 'POP', ['GS'], { size: 'default64', semantics: 'POP_SEG', ends: true }),
    row('0F B2', 'LSS', ['Gv', 'Mp'], pointer),
    row('0F B4', 'LFS', ['Gv', 'Mp'], pointer),
    row('0F B5', 'LGS', ['Gv', 'Mp'], pointer),
    row('0F 02', 'LAR', ['Gv', 'Ew'], { ...rare, writes: 'Z' }),
    row('0F 03', 'LSL', ['Gv', 'Ew'], { ...rare, writes: 'Z' }),
    row('0F 00 /0', 'SLDT', ['EvMw'], rare),
    row('0F 00 /1', 'STR', ['EvMw'], rare),
    row('0F 00 /2', 'LLDT', ['Ew'], ring0),
    row('0F 00 /3', 'LTR', ['Ew'], ring0),
    row('0F 00 /4', 'VERR', ['Ew'], { ...rare, writes: 'Z' }),
    row('0F 00 /5', 'VERW', ['Ew'], { ...rare, writes: 'Z' }),
    row('0F 01 /0', 'SGDT', ['Ms'], rare),
    row('0F 01 /1', 'SIDT', ['Ms'], rare),
    row('0F 01 /2', 'LGDT', ['Ms'], { ...ring0, size: 'always64' }),
    row('0F 01 /3', 'LIDT', ['Ms'], { ...ring0, size: 'always64' }),
    row('0F 01 /4', 'SMSW', ['EvMw'], rare),
    row('0F 01 /6', 'LMSW', ['Ew'], ring0),
    row('0F 01 /7', 'INVLPG', ['Mb'], ring0),
    row('F3 0F AE /0', 'RDFSBASE', ['Ry'], { ...rare, modes: 'long' }),
    row('F3 0F AE /1', 'RDGSBASE', ['Ry'], { ...rare, modes: 'long' }),
    row('F3 0F AE /2', 'WRFSBASE', ['Ry'], { ...rare, modes: 'long' }),
    row('F3 0F AE /3', 'WRGSBASE', ['Ry'], { ...rare, modes: 'long' }),
  ];
}

/** 0F 01 with a register form of ModRM: each value is an instruction of its own. */
function group7Rows(): EncodingRow[] {
  return [
    row('NP 0F 01 /1:0', 'MONITOR', [], ring0),
    row('NP 0F 01 /1:1', 'MWAIT', [], ring0),
    row('NP 0F 01 /1:2', 'CLAC', [], { ends: true }),
    row('NP 0F 01 /1:3', 'STAC', [], { ends: true }),
    row('NP 0F 01 /2:0', 'XGETBV', [], rare),
    row('NP 0F 01 /2:1', 'XSETBV', [], ring0),
    row('0F 01 /3:0', 'VMRUN', [], ring0),
    row('NFx 0F 01 /3:1', 'VMMCALL', [], rare),
    row('F3 0F 01 /3:1', 'VMGEXIT', [], rare),
    row('F2 0F 01 /3:1', 'VMGEXIT', [], rare),
    row('0F 01 /3:2', 'VMLOAD', [], ring0),
    row('0F 01 /3:3', 'VMSAVE', [], ring0),
    row('0F 01 /3:4', 'STGI', [], ring0),
    row('0F 01 /3:5', 'CLGI', [], ring0),
    row('0F 01 /3:6', 'SKINIT', [], ring0),
    row('0F 01 /3:7', 'INVLPGA', [], ring0),
    row('0F 01 /7:0', 'SWAPGS', [], { ...ring0, modes: 'long' }),
    row('0F 01 /7:1', 'RDTSCP', [], rare),
    row('NP 0F 01 /7:5', 'RDPRU', [], rare),
    row('F3 0F 01 /7:5', 'RMPQUERY', [], { ...ring0, modes: 'long', writes: ALL }),
    row('F2 0F 01 /7:5', 'RMPREAD', [], { ...ring0, modes: 'long', writes: ALL }),
    row('F2 0F 01 /7:6', 'RMPUPDATE', [], { ...ring0, modes: 'long' }),
    row('F3 0F 01 /7:6', 'RMPADJUST', [], { ...ring0, modes: 'long', writes: ALL }),
    row('F2 0F 01 /7:7', 'PVALIDATE', [], { ...ring0, writes: ALL }),
    row('F3 0F 01 /7:7', 'PSMASH', [], { ...ring0, modes: 'long' }),
  ];
}

function systemRows(): EncodingRow[] {
  const forced: EncodingOptions = { ...ring0, size: 'native' };
  return [
    row('0F 05', 'SYSCALL', [], { ...rare, writes: ALL }),
    row('0F 07', 'SYSRET', [], { ends: true, writes: ALL }),
    row('0F 34', 'SYSENTER', [], rare),
    row('0F 35', 'SYSEXIT', [], { ends: true }),
    row('0F 06', 'CLTS', [], ring0),
    row('0F 08', 'INVD', [], ring0),
    row('0F 09', 'WBINVD', [], ring0),
    row('0F 20', 'MOV', ['Ry', 'Cy'], { ...forced, semantics: 'MOV_FROM_CR' }),
    row('0F 22', 'MOV', ['Cy', 'Ry'], { ...forced, semantics: 'MOV_TO_CR' }),
    row('0F 21', 'MOV', ['Ry', 'Dy'], { ...forced, semantics: 'MOV_FROM_DR' }),
    row('0F 23', 'MOV', ['Dy', 'Ry'], { ...forced, semantics: 'MOV_TO_DR' }),
    row('0F 30', 'WRMSR', [], ring0),
    row('0F 31', 'RDTSC', [], rare),
    row('0F 32', 'RDMSR', [], ring0),
    row('0F 33', 'RDPMC', [], rare),
    row('0F A2', 'CPUID', [], rare),
    row('0F AA', 'RSM', [], rare),
    row('NP 0F 77', 'EMMS', [], rare),
    row('NFx 0F C7 /6 /reg', 'RDRAND', ['Rv'], { ...rare, writes: ALL }),
    row('NFx 0F C7 /7 /reg', 'RDSEED', ['Rv'], { ...rare, writes: ALL }),
    row('F3 0F C7 /7 /reg', 'RDPID', ['Rv'], { ...rare, size: 'native' }),
    row('NP 0F AE /0', 'FXSAVE', ['M'], rare),
    row('NP 0F AE /1', 'FXRSTOR', ['M'], rare),
    row('NP 0F AE /2', 'LDMXCSR', ['Md'], rare),
    row('NP 0F AE /3', 'STMXCSR', ['Md'], rare),
    row('NP 0F AE /4', 'XSAVE', ['M'], rare),
    row('NP 0F AE /5', 'XRSTOR', ['M'], rare),
    row('NP 0F AE /6', 'XSAVEOPT', ['M'], rare),
    row('NP 0F AE /7', 'CLFLUSH', ['Mb'], rare),
    row('66 0F AE /7', 'CLFLUSHOPT', ['Mb'], rare),
    row('66 0F AE /6', 'CLWB', ['Mb'], rare),
    row('NP 0F AE /5 /reg', 'LFENCE', [], { semantics: 'NOP' }),
    row('NP 0F AE /6 /reg', 'MFENCE', [], { semantics: 'NOP' }),
    row('NP 0F AE /7 /reg', 'SFENCE', [], { semantics: 'NOP' }),
  ];
}

/** Integer instructions after 0F 38: MOVBE, CRC32, ADX, and INVPCID. */
function map38Rows(): EncodingRow[] {
  return [
    row('NFx 0F 38 F0', 'MOVBE', ['Gv', 'Mv']),
    row('NFx 0F 38 F1', 'MOVBE', ['Mv', 'Gv']),
    row('F2 0F 38 F0', 'CRC32', ['Gy', 'Eb']),
    row('F2 0F 38 F1', 'CRC32', ['Gy', 'Ev']),
    row('66 0F 38 F6', 'ADCX', ['Gy', 'Ey'], { reads: 'C', writes: 'C' }),
    row('F3 0F 38 F6', 'ADOX', ['Gy', 'Ey'], { reads: 'O', writes: 'O' }),
    row('66 0F 38 82', 'INVPCID', ['Gv', 'Mo'], { ...ring0, size: 'native' }),
  ];
}

export const TWO_BYTE: readonly EncodingRow[] = [
  ...integerRows(),
  ...segmentRows(),
  ...group7Rows(),
  ...systemRows(),
  ...map38Rows(),
];
