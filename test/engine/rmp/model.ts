/**
 * The rules of the RMP once more, for tests: written from the tables of AMD64 APM vol. 2, 15.36.5 to 15.36.10, and not
 * from the engine. One record for each 4 KiB page, also within a 2 MiB page; nothing is fast, nothing is encoded.
 */

export interface ModelPage {
  assigned: boolean;
  /** The page is part of a 2 MiB RMP page. */
  size2M: boolean;
  immutable: boolean;
  /** Guest address of this very page. */
  gpa: number;
  asid: number;
  vmsa: boolean;
  validated: boolean;
  /** By VMPL: the letters that are granted, of r, w, u (execute, CPL 3), s (execute, CPL 0 to 2), k (shadow stack). */
  rights: string[];
}

/** Covered pages only. */
export type Model = ModelPage[];

export const REGION = 512;
const BYTES = 4096;
const LETTERS = 'rwusk';

export const hypervisorPage = (): ModelPage => ({
  assigned: false,
  size2M: false,
  immutable: false,
  gpa: 0,
  asid: 0,
  vmsa: false,
  validated: false,
  rights: ['', '', '', ''],
});

export const letters = (mask: number): string => [...LETTERS].filter((_, bit) => (mask >> bit) % 2 === 1).join('');
const maskOf = (rights: string): number => [...rights].reduce((sum, letter) => sum + 2 ** LETTERS.indexOf(letter), 0);

/** Bits of EXITINFO1: table of 15.25.6 with those of 15.36.10. */
const BIT = { P: 0n, W: 1n, U: 2n, ID: 4n, RMP: 31n, final: 32n, walk: 33n, ENC: 34n, SIZEM: 35n, VMPL: 36n };
const word = (...names: (keyof typeof BIT)[]): bigint => names.reduce((sum, name) => sum | (1n << BIT[name]), 0n);

export interface ModelAccess {
  readonly page: number;
  readonly asid: number;
  readonly vmpl: number;
  readonly gpa: number;
  readonly kind: 'read' | 'write' | 'execute';
  readonly user: boolean;
  readonly encrypted: boolean;
  readonly walk: boolean;
  readonly npt2M: boolean;
}

export type ModelVerdict =
  | 'allowed'
  | { readonly rule: string; readonly outcome: 'npf' | 'vc'; readonly errorCode: bigint };

const regionOf = (model: Model, page: number): ModelPage[] => {
  const first = page - (page % REGION);
  return model.slice(first, first + REGION);
};

/** Table 15-38: each check, true if it passes. */
const CHECKS: Record<string, (model: Model, a: ModelAccess) => boolean> = {
  'hypervisor-owned': (model, a) =>
    (a.npt2M ? regionOf(model, a.page) : model.slice(a.page, a.page + 1)).every((p) => !p.assigned),
  covered: (model, a) => model[a.page] !== undefined,
  // An entry that is not assigned has no owner: table 15-35.
  'guest-owned': (model, a) => model[a.page]?.assigned === true && model[a.page]?.asid === a.asid,
  'reverse-map': (model, a) => model[a.page]?.gpa === a.gpa,
  mutable: (model, a) => model[a.page]?.immutable === false,
  'page-size': (model, a) => model[a.page]?.size2M === a.npt2M,
  validated: (model, a) => model[a.page]?.validated === true,
  vmpl: (model, a) => {
    const rights = model[a.page]?.rights[a.vmpl] ?? '';
    const isData = a.walk || a.kind !== 'execute';
    // Table 15-36: write without read is illegal for any data access.
    if (isData && rights.includes('w') && !rights.includes('r')) return false;
    if (a.kind === 'write') return rights.includes('w');
    if (isData) return rights.includes('r');
    return rights.includes(a.user ? 'u' : 's');
  },
};

/** Table 15-39: the checks of an SNP-active guest by access, in order. */
export function modelAccess(model: Model, a: ModelAccess): ModelVerdict {
  const isPrivate = a.walk || a.kind === 'execute' || a.encrypted;
  const order = isPrivate
    ? ['covered', 'guest-owned', 'reverse-map', 'mutable', 'page-size', 'validated', 'vmpl']
    : a.kind === 'write'
      ? ['hypervisor-owned']
      : [];
  const rule = order.find((name) => !CHECKS[name]?.(model, a));
  if (rule === undefined) return 'allowed';
  if (rule === 'validated') return { rule, outcome: 'vc', errorCode: 0x404n };
  let errorCode = word('P', 'U', 'RMP');
  // For the nested walk an access to a guest page table is a data write.
  if (a.walk) errorCode |= word('walk', 'W');
  else {
    errorCode |= word('final');
    if (a.kind === 'write') errorCode |= word('W');
    if (a.kind === 'execute') errorCode |= word('ID');
  }
  if (isPrivate) errorCode |= word('ENC');
  if (rule === 'vmpl') errorCode |= word('VMPL');
  return { rule, outcome: 'npf', errorCode };
}

export interface ModelOperand {
  readonly page: number;
  readonly gpa: number;
  readonly npt2M: boolean;
  readonly asid: number;
  readonly vmpl: number;
  readonly encrypted: boolean;
  readonly size2M: boolean;
}

export type ModelOutcome =
  | { readonly eax: number; readonly carry: boolean }
  | { readonly npf: bigint }
  | { readonly vc: bigint };

const code = (eax: number, carry = false): ModelOutcome => ({ eax, carry });

/** The address checks, then table 15-40; undefined if all pass. `size2M` undefined: the instruction has no size. */
function addressChecks(model: Model, o: Omit<ModelOperand, 'size2M'>, size2M?: boolean): ModelOutcome | undefined {
  const p = model[o.page];
  if (!o.encrypted) return code(1);
  const npf = word('P', 'U', 'RMP', 'final', 'ENC');
  if (!p?.assigned || p.immutable || p.asid !== o.asid || p.gpa !== o.gpa) return { npf };
  if (size2M === false && p.size2M) return { npf: npf | word('SIZEM') };
  if (size2M === true && !p.size2M) return code(6);
  if (p.size2M !== o.npt2M) return { npf };
  return undefined;
}

/** All pages that one instruction changes. */
const pagesOf = (model: Model, page: number): ModelPage[] => {
  const p = model[page];
  if (!p) return [];
  return p.size2M ? regionOf(model, page) : [p];
};

export interface ModelRegisters {
  readonly snpActive: boolean;
  readonly cpl: number;
  readonly vmpl: number;
  readonly gva: bigint;
  readonly ecx: number;
  readonly edx: number;
}

export type ModelInput = 'ok' | '#UD' | '#GP' | number;

const misaligned = (r: ModelRegisters): boolean => r.ecx === 1 && ((r.gva >> 12n) & 0x1ffn) !== 0n;

export function modelPvalidateInput(r: ModelRegisters): ModelInput {
  if (!r.snpActive) return '#UD';
  if (r.cpl > 0 || r.vmpl > 0) return '#GP';
  return r.ecx > 1 || r.edx > 1 || misaligned(r) ? 1 : 'ok';
}

export function modelRmpadjustInput(r: ModelRegisters): ModelInput {
  if (!r.snpActive) return '#UD';
  if (r.cpl > 0) return '#GP';
  const rdx = BigInt(r.edx);
  const target = Number(rdx & 0xffn);
  if (r.ecx > 1 || misaligned(r) || target > 3 || rdx >> 17n !== 0n) return 1;
  if (r.vmpl === 0 && r.ecx === 1 && rdx >> 16n === 1n) return 1;
  return target <= r.vmpl ? 2 : 'ok';
}

export function modelRmpqueryInput(r: ModelRegisters, supported: boolean): ModelInput {
  if (!supported || !r.snpActive) return '#UD';
  if (r.cpl > 0) return '#GP';
  const rdx = BigInt(r.edx);
  const target = Number(rdx & 0xffn);
  if (target > 3 || rdx >> 17n !== 0n) return 1;
  return target < r.vmpl ? 2 : 'ok';
}

export function modelPvalidate(model: Model, o: ModelOperand, validate: boolean): ModelOutcome {
  const refused = addressChecks(model, o, o.size2M);
  if (refused) return refused;
  const pages = pagesOf(model, o.page);
  if (pages.every((p) => p.validated === validate)) return code(0, true);
  for (const p of pages) p.validated = validate;
  return code(0);
}

export function modelRmpadjust(
  model: Model,
  o: ModelOperand,
  { target, mask, vmsa }: { readonly target: number; readonly mask: number; readonly vmsa: boolean },
): ModelOutcome {
  const refused = addressChecks(model, o, o.size2M);
  if (refused) return refused;
  const pages = pagesOf(model, o.page);
  if (!pages.every((p) => p.validated)) return { vc: 0x404n };
  const own = pages[0]?.rights[o.vmpl] ?? '';
  if (mask > 0x1f || ![...letters(mask)].every((letter) => own.includes(letter))) return code(2);
  for (const p of pages) {
    p.rights = p.rights.map((rights, level) => (level === target ? letters(mask) : rights));
    if (o.vmpl === 0) p.vmsa = vmsa;
  }
  return code(0);
}

export function modelRmpquery(
  model: Model,
  o: Omit<ModelOperand, 'size2M'>,
  target: number,
): ModelOutcome & { rcx?: number; rdx?: number } {
  const refused = addressChecks(model, o);
  if (refused) return refused;
  const p = model[o.page];
  if (!p?.validated) return { vc: 0x404n };
  const rdx = target + maskOf(p.rights[target] ?? '') * 0x100 + (p.vmsa ? 0x1_0000 : 0);
  return { ...code(0), rcx: p.size2M ? 1 : 0, rdx };
}

export interface ModelUpdate {
  readonly page: number;
  readonly assigned: boolean;
  readonly size2M: boolean;
  readonly immutable: boolean;
  readonly gpa: number;
  readonly asid: number;
}

/** RMPUPDATE; EAX. HV-Fixed and locked pages do not occur. */
export function modelRmpupdate(model: Model, u: ModelUpdate, maxAsid: number): number {
  const unit = u.size2M ? REGION : 1;
  const p = model[u.page];
  if (u.page % unit !== 0 || !p || u.gpa % (unit * BYTES) !== 0 || u.asid > maxAsid) return 1;
  if (!u.assigned && (u.immutable || u.asid !== 0)) return 2;
  if (p.immutable) return 2;
  const is2M = p.assigned && p.size2M;
  if (is2M && !u.size2M) return 4;
  if (!is2M && u.size2M && regionOf(model, u.page).some((other) => other.assigned)) return 4;
  for (let i = 0; i < unit; i++) {
    const old = model[u.page + i];
    if (!old) continue;
    const gpa = u.gpa + i * BYTES;
    const unchanged =
      u.asid !== 0 && old.assigned === u.assigned && old.asid === u.asid && old.gpa === gpa && old.size2M === u.size2M;
    const kept = unchanged ? old : { ...hypervisorPage(), rights: ['rwus', '', '', ''] };
    model[u.page + i] = u.assigned
      ? { ...kept, assigned: true, size2M: u.size2M, immutable: u.immutable, asid: u.asid, gpa }
      : hypervisorPage();
  }
  return 0;
}

/** PSMASH; EAX. */
export function modelPsmash(model: Model, page: number): number {
  const p = model[page];
  if (page % REGION !== 0) return 1;
  if (!p) return 4;
  if (!p.assigned || !p.size2M) return 1;
  if (p.immutable) return 2;
  for (const each of regionOf(model, page)) each.size2M = false;
  return 0;
}
