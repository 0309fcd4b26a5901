import { fromBase64 } from '../../base64.js';
import type { TextRange } from '../../fault.js';
import type { QemuObject } from './command-line.js';
import { QEMU_NOT_EMULATED, QEMU_PARAMETER, SNP_BASE64, SNP_PROPERTY_LENGTH } from './faults.js';
import { type Given, type ImportContext, keep, refuse } from './machine.js';
import { parseSwitch, parseUnsigned } from './values.js';

/**
 * Properties of the object sev-snp-guest, with QEMU’s rules for each. QEMU qapi/qom.json SevCommonProperties,
 * SevSnpGuestProperties; target/i386/sev.c, setters.
 */

type Setter = (context: ImportContext, object: QemuObject, property: Given<string>, name: string) => void;

const u32 =
  (field: 'cbitpos' | 'reducedPhysBits'): Setter =>
  (context, object, property, name) => {
    const value = unsigned(context, object, property, name);
    if (value === undefined) return;
    if (value > 0xffff_ffffn) wrongType(context, object, `Parameter '${name}' expects uint32_t`, property.range);
    else context.machine[field] = { value: Number(value), range: property.range };
  };

const switched =
  (field: 'kernelHashes' | 'authorKey' | 'vcekDisabled'): Setter =>
  (context, object, property, name) => {
    const value = parseSwitch(property.value);
    if (value === undefined || (object.json && !['true', 'false'].includes(property.value))) {
      const expected = object.json ? 'boolean' : "'on' or 'off'";
      wrongType(context, object, `Parameter '${name}' expects ${expected}`, property.range);
    } else context.machine[field] = { value, range: property.range };
  };

/** `most`: shorter is allowed. */
const bytes =
  (field: 'gosvw' | 'idBlock' | 'idAuth' | 'hostData', expected: number, most = false): Setter =>
  (context, _object, property, name) => {
    const value = decodeProperty(context, name, property, expected, most);
    if (value) context.machine[field] = { value, range: property.range };
  };

const SETTERS: Readonly<Record<string, Setter>> = {
  'sev-device': (context, object, property) => {
    if (property.value !== '/dev/sev') keep(context, `-object ${object.type},sev-device=${property.value}`);
  },
  cbitpos: u32('cbitpos'),
  'reduced-phys-bits': u32('reducedPhysBits'),
  'kernel-hashes': switched('kernelHashes'),
  policy: (context, object, property, name) => {
    const value = unsigned(context, object, property, name);
    if (value !== undefined) context.machine.policy = { value, range: property.range };
  },
  'guest-visible-workarounds': bytes('gosvw', 16),
  'id-block': bytes('idBlock', 96),
  'id-auth': bytes('idAuth', 4096, true),
  'author-key-enabled': switched('authorKey'),
  // The name before the object was merged.
  'auth-key-enabled': switched('authorKey'),
  'vcek-disabled': switched('vcekDisabled'),
  'host-data': bytes('hostData', 32),
  'init-flags': (context, object, property) => keep(context, `-object ${object.type},init-flags=${property.value}`),
  'certs-path': (context, object, property) => {
    const option = `certs-path=${property.value}`;
    keep(context, `-object ${object.type},${option}`);
    const effect = 'extended guest requests return no certificates';
    refuse(context, QEMU_NOT_EMULATED, { option, effect }, property.range);
  },
};

/** Takes over all properties; reduced-phys-bits is the only one that is required. */
export function readSnpObject(context: ImportContext, object: QemuObject): void {
  for (const [name, property] of object.properties) {
    const setter = Object.hasOwn(SETTERS, name) ? SETTERS[name] : undefined;
    if (setter) setter(context, object, property, name);
    else {
      const text = object.json ? `Parameter '${name}' is unexpected` : `Invalid parameter '${name}'`;
      wrongType(context, object, text, property.range);
    }
  }
  if (!object.properties.has('reduced-phys-bits'))
    wrongType(context, object, "Parameter 'reduced-phys-bits' is missing", object.range);
}

/** The bytes of a base64 property of the right length; a fault otherwise. */
export function decodeProperty(
  context: ImportContext,
  property: string,
  { value, range }: Given<string>,
  expected: number,
  most: boolean,
): Uint8Array | undefined {
  const decoded = fromBase64(value);
  if (!decoded) return refuse(context, SNP_BASE64, { property, value: shortened(value) }, range);
  if (decoded.length === expected || (most && decoded.length < expected)) return decoded;
  const limit = most ? 'exceeds max of' : 'not equal to';
  return refuse(context, SNP_PROPERTY_LENGTH, { property, length: decoded.length, limit, expected }, range);
}

function unsigned(
  context: ImportContext,
  object: QemuObject,
  property: Given<string>,
  name: string,
): bigint | undefined {
  const value = parseUnsigned(property.value);
  if (value !== undefined) return value;
  const expected = object.json ? 'uint64' : 'a uint64 value';
  return wrongType(context, object, `Parameter '${name}' expects ${expected}`, property.range);
}

function wrongType(context: ImportContext, object: QemuObject, text: string, range: TextRange): undefined {
  return refuse(context, QEMU_PARAMETER, { option: `-object ${object.type}`, text }, range);
}

function shortened(text: string): string {
  return text.length <= 40 ? text : `${text.slice(0, 40)}…`;
}
