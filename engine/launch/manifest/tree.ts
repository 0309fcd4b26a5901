import type { TextRange } from '../../fault.js';
import type { PolicyFieldName } from '../policy/fields.js';

/**
 * The manifest as it was written: every field with its ranges, wrong values left out (they are problems).
 * Nothing is resolved here; see ../resolve.
 */
export interface Field<T> {
  readonly value: T;
  /** Range of the value. */
  readonly range: TextRange;
  /** Range of the key. */
  readonly key?: TextRange;
}

export interface ManifestTree {
  readonly snp?: Field<number>;
  readonly host: {
    readonly key?: TextRange;
    readonly range?: TextRange;
    readonly processor?: Field<string>;
    readonly firmware?: Field<string>;
    readonly kvm?: Field<string>;
    readonly memory?: Field<number>;
    readonly sevSnp?: Field<boolean>;
    readonly hugePages?: Field<boolean>;
    readonly attack?: Field<string>;
    readonly attackPage?: Field<number>;
  };
  readonly vm: {
    readonly key?: TextRange;
    readonly range?: TextRange;
    readonly vmm?: Field<string>;
    readonly vcpus?: Field<number>;
    readonly cpu?: Field<string>;
    readonly memory?: Field<number>;
    readonly vmsaFeatures?: Field<bigint>;
  };
  readonly launch?: {
    readonly range: TextRange;
    readonly key: TextRange;
    readonly policy?: Field<PolicyValue>;
    readonly gosvw?: Field<Uint8Array>;
    readonly update: readonly UpdateTree[];
    readonly updateKey?: TextRange;
    readonly finish?: FinishTree;
  };
  readonly expect: { readonly key?: TextRange; readonly range?: TextRange; readonly digest?: Field<Uint8Array> };
}

export type PolicyValue =
  | { readonly kind: 'number'; readonly value: bigint }
  /** Named fields, folded into their number. */
  | { readonly kind: 'fields'; readonly value: bigint; readonly fields: readonly PolicyFieldTree[] }
  | { readonly kind: 'file'; readonly path: string };

/** One named field of a policy; `value` is the number in the field's bits. */
export interface PolicyFieldTree extends Field<bigint> {
  readonly name: PolicyFieldName;
}

/** `index`: place in launch.update, entries that could not be read included. */
export type UpdateTree =
  | {
      readonly kind: 'firmware';
      readonly index: number;
      readonly range: TextRange;
      readonly path: Field<string>;
      readonly kernel?: Field<string>;
      readonly initrd?: Field<string>;
      readonly append?: Field<string>;
      readonly kernelHashes?: Field<boolean>;
    }
  | {
      readonly kind: 'pages';
      readonly index: number;
      readonly range: TextRange;
      readonly type: Field<'normal' | 'zero' | 'unmeasured' | 'secrets' | 'cpuid'>;
      readonly gpa?: Field<number>;
      readonly file?: Field<string>;
      readonly offset?: Field<number>;
      readonly length?: Field<number>;
      readonly leaves?: Field<readonly CpuidLeafTree[]>;
    }
  | {
      readonly kind: 'vmsa';
      readonly index: number;
      readonly range: TextRange;
      readonly vcpu?: Field<number>;
      readonly registers?: Field<readonly { readonly name: Field<string>; readonly value: Field<bigint> }[]>;
      readonly file?: Field<string>;
    }
  | {
      readonly kind: 'igvm';
      readonly index: number;
      readonly range: TextRange;
      readonly path: Field<string>;
      readonly zeroPages?: Field<string>;
    };

export interface CpuidLeafTree {
  readonly range: TextRange;
  readonly leaf: number;
  readonly subleaf: number;
  readonly xcr0: bigint;
  readonly xss: bigint;
  readonly eax: number;
  readonly ebx: number;
  readonly ecx: number;
  readonly edx: number;
}

export interface FinishTree {
  readonly range: TextRange;
  readonly key: TextRange;
  readonly idBlock?: Field<
    { readonly kind: 'file'; readonly path: string } | { readonly kind: 'fields'; readonly fields: IdBlockFields }
  >;
  readonly idAuth?: Field<
    { readonly kind: 'file'; readonly path: string } | { readonly kind: 'base64'; readonly text: string }
  >;
  readonly authorKey?: Field<boolean>;
  readonly vcekDisabled?: Field<boolean>;
  readonly hostData?: Field<Uint8Array>;
}

export interface IdBlockFields {
  /** 48 bytes; undefined: take the digest of this launch. */
  readonly ld?: Uint8Array;
  readonly familyId: Uint8Array;
  readonly imageId: Uint8Array;
  readonly version: number;
  readonly guestSvn: number;
  /** Undefined: take the policy of this launch. */
  readonly policy?: bigint;
}
