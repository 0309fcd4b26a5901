import type { FieldSchema, MapSchema } from '../grammar/schema.js';
import { POLICY_MISSING_VERSION } from '../manifest/faults.js';
import { POLICY_FIELDS } from './fields.js';

const U64_MAX = (1n << 64n) - 1n;

/** The named fields of a policy; used in policy files and under `launch.policy`. */
export const POLICY_FIELD_SCHEMAS: readonly FieldSchema[] = POLICY_FIELDS.map((field) => ({
  key: field.name,
  doc: `${field.amdName}, bit ${field.width === 1 ? field.bit : '15:0'}. ${field.meaning}`,
  value: field.name === 'abi' ? { kind: 'text', form: 'version' } : { kind: 'boolean' },
  default: field.name === 'abi' ? '"0.0"' : 'false',
  example: field.name === 'abi' ? 'abi: "1.51"' : `${field.name}: true`,
}));

export const POLICY_MAP: MapSchema = { kind: 'map', fields: POLICY_FIELD_SCHEMAS };

/** A policy file, `*.snp-policy.yaml`. */
export const POLICY_SCHEMA: MapSchema = {
  kind: 'map',
  fields: [
    {
      key: 'snp-policy',
      doc: 'Version of this grammar: 1.',
      value: { kind: 'integer', unit: 'count', min: 1n, max: 1n },
      required: true,
      missing: POLICY_MISSING_VERSION,
      example: 'snp-policy: 1',
    },
    {
      key: 'value',
      doc: 'The guest policy as a number, as LAUNCH_START takes it. With named fields beside it both must agree.',
      value: { kind: 'integer', unit: 'mask', min: 0n, max: U64_MAX },
      example: 'value: 0x30000',
    },
    ...POLICY_FIELD_SCHEMAS,
  ],
};
