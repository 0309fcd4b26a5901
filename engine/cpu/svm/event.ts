import type { GuestException } from '../exception.js';

/** Format of EVENTINJ and EXITINTINFO: AMD APM volume 2, 15.7.2 and 15.20. */

const VALID = 1n << 31n;
const ERROR_CODE_VALID = 1n << 11n;
const TYPE = { interrupt: 0, nmi: 2, exception: 3, software: 4 } as const;
const LAST_EXCEPTION = 31;
const NMI = 2;
/** #BP and #OF are traps of INT3 and INTO, which only the guest itself can execute. */
const OF_INSTRUCTIONS: readonly number[] = [3, 4];

export interface HostEvent {
  readonly vector: number;
  readonly errorCode: number | undefined;
  readonly exception: boolean;
}

export const isValidEvent = (event: bigint): boolean => (event & VALID) !== 0n;

const typeOf = (event: bigint): number => Number((event >> 8n) & 7n);
const vectorOf = (event: bigint): number => Number(event & 0xffn);

/** Why VMRUN refuses an event for a guest with encrypted state; undefined: it can be injected. */
export function illegalEvent(event: bigint): string | undefined {
  if (!isValidEvent(event)) return undefined;
  const [type, vector] = [typeOf(event), vectorOf(event)];
  switch (type) {
    case TYPE.interrupt:
    case TYPE.nmi:
      return undefined;
    case TYPE.software:
      return 'a software interrupt cannot be injected into a guest with encrypted state';
    case TYPE.exception:
      if (vector > LAST_EXCEPTION || vector === NMI) return `vector ${vector} is no exception`;
      if (OF_INSTRUCTIONS.includes(vector)) return `vector ${vector} comes only from an instruction of the guest`;
      return undefined;
    default:
      return `event type ${type} is reserved`;
  }
}

export function decodeEvent(event: bigint): HostEvent {
  const isNmi = typeOf(event) === TYPE.nmi;
  return {
    vector: isNmi ? NMI : vectorOf(event),
    errorCode: (event & ERROR_CODE_VALID) === 0n ? undefined : Number(event >> 32n),
    exception: typeOf(event) === TYPE.exception,
  };
}

export function encodeException({ vector, errorCode }: Pick<GuestException, 'vector' | 'errorCode'>): bigint {
  const event = BigInt(vector) | (BigInt(TYPE.exception) << 8n) | VALID;
  return errorCode === undefined ? event : event | ERROR_CODE_VALID | (BigInt(errorCode >>> 0) << 32n);
}
