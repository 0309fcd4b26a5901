import { hex } from '../../address.js';
import { view } from '../../bytes.js';
import { type Fault, makeFault } from '../../fault.js';
import type { IgvmFile, IgvmParameter, IgvmParameterArea } from './file.js';
import { encodeMemoryMap } from './memory-map.js';
import { IGVM_PARAMETER_SPACE } from './vmm-faults.js';

/** A parameter area while the file is processed: what was written into it, and zeros behind that. */
export interface ParameterArea {
  readonly length: number;
  /** As much as was written; the rest of `length` is zero. */
  content: Uint8Array;
}

export function createParameterArea(file: IgvmFile, { length, dataOffset }: IgvmParameterArea): ParameterArea {
  const content = dataOffset === undefined ? new Uint8Array() : file.bytes.slice(dataOffset, dataOffset + length);
  return { length, content };
}

/** What the guest is told about its machine. */
export interface ParameterValues {
  readonly vcpus: number;
  /** Bytes. */
  readonly memory: number;
}

export type HandledParameter = 'VP_COUNT_PARAMETER' | 'MEMORY_MAP' | 'ENVIRONMENT_INFO_PARAMETER';

export function isHandledParameter(kind: string): kind is HandledParameter {
  return kind === 'VP_COUNT_PARAMETER' || kind === 'MEMORY_MAP' || kind === 'ENVIRONMENT_INFO_PARAMETER';
}

/** Writes the value of a parameter into its area; a fault if there is no room. */
export function writeParameter(
  path: string,
  area: ParameterArea,
  { byteOffset, offset }: IgvmParameter,
  kind: HandledParameter,
  values: ParameterValues,
): Fault | undefined {
  const value = parameterValue(kind, values);
  const left = area.length - byteOffset;
  if (value.length > left) {
    const operands = { path, offset: hex(offset), name: kind, needed: value.length, left };
    return makeFault(IGVM_PARAMETER_SPACE, operands);
  }
  if (area.content.length < byteOffset + value.length) {
    const grown = new Uint8Array(byteOffset + value.length);
    grown.set(area.content);
    area.content = grown;
  }
  area.content.set(value, byteOffset);
  return undefined;
}

function parameterValue(kind: HandledParameter, { vcpus, memory }: ParameterValues): Uint8Array {
  switch (kind) {
    case 'VP_COUNT_PARAMETER':
      return word(vcpus);
    case 'ENVIRONMENT_INFO_PARAMETER':
      // memory_is_shared: memory that the file does not load is shared with the host.
      return word(1);
    case 'MEMORY_MAP':
      return encodeMemoryMap(memory);
  }
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  view(bytes).setUint32(0, value, true);
  return bytes;
}
