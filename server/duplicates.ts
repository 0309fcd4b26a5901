import type { Fault, SourceLocation } from '../engine/fault.js';
import type { Cover, Rule } from './rules/rule.js';

/** What resolving a manifest reports about an image, and what the launch would stop at for the same reason. */
const IMAGE_COVERS: readonly Cover[] = [
  { check: 'image-bios-size', engine: 'vmm-firmware-size' },
  { check: 'image-size-unaligned', engine: 'vmm-firmware-size' },
  { check: 'image-no-reset-block', engine: 'vmm-reset-vector' },
  ...[
    'image-no-footer',
    'image-footer-size',
    'image-entry-size',
    'image-no-metadata',
    'image-metadata-offset',
    'image-metadata-signature',
    'image-metadata-version',
    'image-metadata-truncated',
  ].flatMap((check) => [
    { check, engine: 'vmm-reset-vector' },
    { check, engine: 'vmm-sev-metadata' },
  ]),
];

/**
 * Whether the static checks have already said, at the same place, what the dry run ran into: the same check
 * somewhere in its chain of causes, or a check that is declared to stand for it. A mere warning does not stand for
 * an error.
 */
export function anticipated(fault: Fault, reported: readonly Fault[], rules: readonly Rule[]): boolean {
  const chain = chainOf(fault);
  const covers = [...IMAGE_COVERS, ...rules.flatMap((rule) => rule.covers ?? [])];
  return reported.some((known) => {
    if (known.severity !== 'error' && fault.severity === 'error') return false;
    if (!samePlace(known.at, fault.at)) return false;
    return chainOf(known).some((mine) =>
      chain.some(
        (theirs) =>
          theirs.check === mine.check ||
          covers.some((cover) => cover.check === mine.check && cover.engine === theirs.check),
      ),
    );
  });
}

/** The same check with the same text at the same place is said once. */
export function withoutRepeats(faults: readonly Fault[]): Fault[] {
  const seen = new Set<string>();
  return faults.filter((fault) => {
    const key = `${fault.check}\0${fault.at?.file}\0${fault.at?.range.start}\0${fault.at?.range.end}\0${fault.message}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** The fault and its causes, outermost first. */
export function chainOf(fault: Fault): readonly Fault[] {
  const chain: Fault[] = [];
  for (let f: Fault | undefined = fault; f; f = f.cause) chain.push(f);
  return chain;
}

function samePlace(a: SourceLocation | undefined, b: SourceLocation | undefined): boolean {
  if (!a || !b) return true;
  // The dry run knows the manifest only; the same check in a file that it names is the same mistake.
  if (a.file !== b.file) return true;
  return a.range.start <= b.range.end && b.range.start <= a.range.end;
}
