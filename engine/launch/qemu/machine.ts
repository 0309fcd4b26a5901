import type { Fault, FaultDefinition, Operands, TextRange } from '../../fault.js';
import { makeFault } from '../../fault.js';

/** A value and where it stands in the text that was imported. */
export interface Given<T> {
  readonly value: T;
  readonly range: TextRange;
}

/** What an imported text says about a launch; what it leaves out is QEMU’s default. */
export interface ImportedMachine {
  vcpus?: Given<number>;
  cpu?: Given<string>;
  /** Bytes. */
  memory?: Given<number>;
  firmware?: Given<string>;
  igvm?: Given<string>;
  kernel?: Given<string>;
  initrd?: Given<string>;
  append?: Given<string>;
  kernelHashes?: Given<boolean>;
  policy?: Given<bigint>;
  cbitpos?: Given<number>;
  reducedPhysBits?: Given<number>;
  gosvw?: Given<Uint8Array>;
  idBlock?: Given<Uint8Array>;
  idAuth?: Given<Uint8Array>;
  authorKey?: Given<boolean>;
  vcekDisabled?: Given<boolean>;
  hostData?: Given<Uint8Array>;
  /** What a manifest cannot say, in order; it becomes comments. */
  readonly kept: string[];
}

export interface ImportContext {
  /** The file, for messages and places. */
  readonly path: string;
  readonly faults: Fault[];
  readonly machine: ImportedMachine;
}

export function createImport(path: string): ImportContext {
  return { path, faults: [], machine: { kept: [] } };
}

export function refuse<O extends Operands>(
  context: ImportContext,
  definition: FaultDefinition<O>,
  operands: O,
  range: TextRange,
): undefined {
  context.faults.push(makeFault(definition, operands, { at: { file: context.path, range } }));
  return undefined;
}

export function keep(context: ImportContext, text: string): void {
  context.machine.kept.push(text);
}
