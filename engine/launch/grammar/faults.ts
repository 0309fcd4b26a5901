import { defineFault } from '../../fault.js';

const GRAMMAR = {
  layer: 'manifest',
  command: 'grammar',
  code: { kind: 'input' },
  reference: 'SEV-SNP Workbench, file formats',
  confirmed: true,
} as const;

export const MANIFEST_UNKNOWN_KEY = defineFault<{ key: string; where: string; allowed: string; suggestion: string }>({
  ...GRAMMAR,
  check: 'manifest-unknown-key',
  title: 'Unknown key',
  message: (o) =>
    o.suggestion
      ? `There is no key \`${o.key}\` in ${o.where}. Did you mean \`${o.suggestion}\`?`
      : `There is no key \`${o.key}\` in ${o.where}. Allowed here: ${o.allowed}.`,
  why: 'A key that is ignored silently is the worst kind of mistake in a security configuration: the launch would run without what was asked for.',
  hint: (o) => (o.suggestion ? `Write \`${o.suggestion}\`.` : 'Remove the key, or move it to where it belongs.'),
});

export const MANIFEST_DUPLICATE_KEY = defineFault<{ key: string }>({
  ...GRAMMAR,
  check: 'manifest-duplicate-key',
  title: 'Duplicate key',
  message: (o) => `The key \`${o.key}\` stands twice in this map; only the first one is used.`,
  why: 'YAML demands unique keys (YAML 1.2.2, section 3.2.1.1), because it is not visible which of two values counts.',
  hint: 'Remove one of the two.',
  reference: 'YAML 1.2.2, section 3.2.1.1',
});

export const MANIFEST_MISSING_KEY = defineFault<{ key: string; where: string; example: string }>({
  ...GRAMMAR,
  check: 'manifest-missing-key',
  title: 'Missing key',
  message: (o) => `The key \`${o.key}\` is missing in ${o.where}.`,
  why: 'This part of the launch has no sensible default: without the key nobody can tell what is to be launched.',
  hint: (o) => `Add \`${o.example}\`.`,
});

export const MANIFEST_MISSING_VALUE = defineFault<{ key: string; expected: string }>({
  ...GRAMMAR,
  check: 'manifest-missing-value',
  title: 'Missing value',
  message: (o) => `\`${o.key}\` has no value; ${o.expected} is expected.`,
  why: 'An empty value is probably a line that is not finished. It never means the default.',
  hint: 'Write the value, or remove the key to get its default.',
});

export const MANIFEST_WRONG_TYPE = defineFault<{ key: string; expected: string; found: string }>({
  ...GRAMMAR,
  check: 'manifest-wrong-type',
  title: 'Wrong type of value',
  message: (o) => `\`${o.key}\` must be ${o.expected}, not ${o.found}.`,
  why: 'Each key takes one kind of value. A list where a map is expected is often a matter of indentation or of a dash too many.',
  hint: (o) => `Write ${o.expected}.`,
});

export const MANIFEST_WRONG_VALUE = defineFault<{ key: string; value: string; allowed: string; suggestion: string }>({
  ...GRAMMAR,
  check: 'manifest-wrong-value',
  title: 'Value not allowed',
  message: (o) =>
    `\`${o.key}\` cannot be \`${o.value}\`; allowed: ${o.allowed}.${o.suggestion ? ` Did you mean \`${o.suggestion}\`?` : ''}`,
  why: 'The key selects one of a few known things; another name would select nothing.',
  hint: (o) => (o.suggestion ? `Write \`${o.suggestion}\`.` : `Write one of ${o.allowed}.`),
});

export const MANIFEST_NOT_A_NUMBER = defineFault<{ key: string; value: string; suggestion: string }>({
  ...GRAMMAR,
  check: 'manifest-not-a-number',
  title: 'Not a number',
  message: (o) =>
    `\`${o.key}\` needs a number, but \`${o.value}\` is not one.${o.suggestion ? ` Did you mean \`${o.suggestion}\`?` : ''}`,
  why: 'Numbers are decimal (4096) or hex (0x1000). Octal and fractions are not accepted, because a slip would change the measurement without notice.',
  hint: (o) =>
    o.suggestion ? `Write \`${o.suggestion}\`.` : 'Write a decimal number, or a hex number with 0x before it.',
});

export const MANIFEST_SIZE_UNIT = defineFault<{ key: string; value: string; suggestion: string }>({
  ...GRAMMAR,
  check: 'manifest-size-unit',
  title: 'Unknown unit of a size',
  message: (o) =>
    `\`${o.value}\` is not a size of this grammar.${o.suggestion ? ` Did you mean \`${o.suggestion}\`?` : ''}`,
  why: 'Sizes take the units KiB, MiB, GiB and TiB, without a space. K, M or MB mean 1000 to some tools and 1024 to others, and memory sizes must be exact.',
  hint: (o) => (o.suggestion ? `Write \`${o.suggestion}\`.` : 'Use one of KiB, MiB, GiB, TiB, or plain bytes.'),
});

export const MANIFEST_OUT_OF_RANGE = defineFault<{ key: string; value: string; min: string; max: string }>({
  ...GRAMMAR,
  check: 'manifest-out-of-range',
  title: 'Number out of range',
  message: (o) => `\`${o.key}\` is ${o.value}; it must be ${bounds(o)}.`,
  why: 'The value goes into a field of fixed width, or counts something of which hardware has a limited number.',
  hint: (o) => (o.min === o.max ? `Write ${o.min}.` : `Choose a value ${bounds(o)}.`),
});

function bounds(o: { readonly min: string; readonly max: string }): string {
  return o.min === o.max ? o.min : `from ${o.min} to ${o.max}`;
}

export const MANIFEST_HEX_DIGITS = defineFault<{ key: string; character: string; index: number }>({
  ...GRAMMAR,
  check: 'manifest-hex-digits',
  title: 'Not a hex digit',
  message: (o) => `\`${o.key}\` is written in hex, but its character ${o.index + 1} is \`${o.character}\`.`,
  why: 'The value is a row of bytes, each written as two of the digits 0-9 and a-f. Base64, which QEMU and libvirt use on their command lines, is not accepted here.',
  hint: 'Write hex digits; `base64 -d | xxd -p` converts base64.',
});

export const MANIFEST_HEX_LENGTH = defineFault<{ key: string; digits: number; expected: number; bytes: number }>({
  ...GRAMMAR,
  check: 'manifest-hex-length',
  title: 'Wrong number of hex digits',
  message: (o) => `\`${o.key}\` has ${o.digits} hex digits; it needs ${o.expected} (${o.bytes} bytes).`,
  why: 'The value fills a field of fixed length in a structure that the firmware measures or compares; there is no right way to pad or cut it.',
  hint: (o) => `Give exactly ${o.expected} hex digits.`,
});

export const MANIFEST_UPDATE_SHAPE = defineFault<{ shapes: string; found: string }>({
  ...GRAMMAR,
  check: 'manifest-update-shape',
  title: 'Entry that does not say what it loads',
  message: (o) =>
    `This entry does not say what it loads: it needs one of ${o.shapes}${o.found ? `, but has only ${o.found}` : ''}.`,
  why: 'Each entry of `launch.update` stands for one or more KVM_SEV_SNP_LAUNCH_UPDATE calls, and its key says which: an OVMF image, pages of one type, a VMSA, or an IGVM file.',
  hint: 'Add `firmware: FILE`, `igvm: FILE`, or `type:` with the type of the pages.',
});

export const MANIFEST_BAD_ALIAS = defineFault<{ name: string; reason: string }>({
  ...GRAMMAR,
  check: 'manifest-bad-alias',
  title: 'Alias cannot be used',
  message: (o) => `The alias \`*${o.name}\` cannot be used here: ${o.reason}.`,
  why: 'Aliases repeat a part of the file. They are followed a limited number of times, so that a small file cannot unfold into an endless one.',
  hint: 'Write the value out.',
  reference: 'YAML 1.2.2, section 7.1',
});

export const MANIFEST_TOO_MANY_VALUES = defineFault<{ limit: number }>({
  ...GRAMMAR,
  check: 'manifest-too-many-values',
  title: 'Too many values',
  message: (o) => `The file has more than ${o.limit} values; what follows is not checked.`,
  why: 'A launch has some dozen entries. The limit keeps the editor alive when a wrong or hostile file is opened.',
  hint: 'Check that this is the file you mean.',
});
