/**
 * What is given to SNP_LAUNCH_FINISH contradicts this launch or itself: an ID block or ID authentication page of
 * the wrong size, an ID block made for another digest or policy, an ID authentication page without an ID block,
 * an author key that is announced but not there. The firmware says so only after all pages are measured, and
 * then the VM is lost.
 */
import { hex } from '../../engine/address.js';
import { decodeIdBlock, ID_AUTH_SIZE, ID_BLOCK_SIZE } from '../../engine/asp/id-block.js';
import { equalBytes, isZero, toHex } from '../../engine/bytes.js';
import { defineFault, type Fault, makeFault, type TextRange } from '../../engine/fault.js';
import type { FinishTree } from '../../engine/launch/manifest/tree.js';
import { pairRange } from '../yaml-position.js';
import type { Fix, FixContext, ManifestContext, Rule } from './rule.js';

const FINISH = { layer: 'manifest', command: 'launch.finish', code: { kind: 'input' }, confirmed: true } as const;
const ABI = 'AMD pub. 56860, SNP_LAUNCH_FINISH';

export const ID_BLOCK_LENGTH = defineFault<{ length: number }>({
  ...FINISH,
  check: 'lint-id-block-length',
  title: 'ID block of the wrong size',
  message: (o) => `The ID block has ${o.length} bytes, not ${ID_BLOCK_SIZE}.`,
  why: 'An ID block is a structure of exactly 96 bytes: digest, family id, image id, version, SVN and policy. Another size usually means base64 text that was not decoded (128 characters), or the ID authentication page (4096 bytes) in its place.',
  hint: (o) =>
    o.length === 128 ? 'Decode the base64 text into a binary file.' : `Give a file of ${ID_BLOCK_SIZE} bytes.`,
  reference: `${ABI}, ID block`,
});

export const ID_AUTH_LENGTH = defineFault<{ length: number }>({
  ...FINISH,
  check: 'lint-id-auth-length',
  title: 'ID authentication page of the wrong size',
  message: (o) => `The ID authentication page has ${o.length} bytes, not ${ID_AUTH_SIZE}.`,
  why: 'The ID authentication page is a structure of one page with two keys and two signatures at fixed offsets. KVM copies exactly 4096 bytes from the address that it is given.',
  hint: 'Give a binary file of 4096 bytes, as snpguest, sev-snp-measure or virtee/sev write it.',
  reference: `${ABI}, ID authentication information`,
});

export const ID_BLOCK_DIGEST = defineFault<{ block: string; actual: string }>({
  ...FINISH,
  check: 'lint-id-block-digest',
  title: 'ID block is for another launch digest',
  message: (o) => `The ID block was made for the digest ${o.block}, but this launch has ${o.actual}.`,
  why: 'The firmware compares the digest in the ID block with the one it has measured and refuses LAUNCH_FINISH with BAD_MEASUREMENT. Any change of image, kernel, command line, number of vCPUs or CPU model needs a new, newly signed ID block.',
  hint: 'Sign a new ID block for this digest, or restore the launch that the block was made for.',
  reference: `${ABI}; BAD_MEASUREMENT`,
});

export const ID_BLOCK_POLICY = defineFault<{ block: bigint; policy: bigint }>({
  ...FINISH,
  check: 'lint-id-block-policy',
  title: 'ID block is for another policy',
  message: (o) => `The ID block demands the policy ${hex(o.block)}, but the launch has ${hex(o.policy)}.`,
  why: 'The policy is not in the digest; the ID block is what binds it. The firmware refuses LAUNCH_FINISH with POLICY_FAILURE if the policy of the launch is another one.',
  hint: (o) => `Launch with policy ${hex(o.block)}, or sign a new ID block.`,
  reference: `${ABI}; POLICY_FAILURE`,
});

export const ID_BLOCK_VERSION = defineFault<{ version: number }>({
  ...FINISH,
  check: 'lint-id-block-version',
  title: 'ID block of an unknown version',
  message: (o) => `The ID block has version ${o.version}; only version 1 exists.`,
  why: 'The firmware refuses an ID block whose version field is not 1 with INVALID_PARAM, because it could not know what the fields mean.',
  hint: 'Set version to 1. If other fields look wrong too, the file is no ID block.',
  reference: `${ABI}, ID block`,
});

export const ID_BLOCK_WITHOUT_AUTH = defineFault({
  ...FINISH,
  check: 'lint-id-block-without-auth',
  title: 'ID block without ID authentication page',
  message: () => 'There is an ID block, but no `id-auth`: nothing signs it.',
  why: 'With ID_BLOCK_EN the firmware verifies the signature of the ID block with the key in the ID authentication page. KVM copies that page unconditionally and fails with -EINVAL when its address is 0.',
  hint: 'Add `id-auth:` with the page that belongs to this ID block.',
  reference: 'Linux arch/x86/kvm/svm/sev.c, snp_launch_finish; drivers/crypto/ccp/sev-dev.c, psp_copy_user_blob',
});

export const ID_AUTH_WITHOUT_BLOCK = defineFault<{ key: string }>({
  ...FINISH,
  check: 'lint-id-auth-without-block',
  severity: 'warning',
  title: 'ID authentication without ID block',
  message: (o) => `\`${o.key}\` has no effect without \`id-block\`.`,
  why: 'KVM reads the ID authentication page and AUTH_KEY_EN only when an ID block is enabled. The guest would launch without any of the checks that the page stands for.',
  hint: 'Add `id-block:`, or remove this key.',
  reference: 'Linux arch/x86/kvm/svm/sev.c, snp_launch_finish',
});

export const AUTHOR_KEY_MISSING = defineFault({
  ...FINISH,
  check: 'lint-author-key-missing',
  title: 'Author key enabled, but missing',
  message: () => '`author-key` is true, but the author key in the ID authentication page is all zero.',
  why: 'With AUTH_KEY_EN the firmware verifies the signature of the ID key with the author key at offset 0x880 of the page. An empty key verifies nothing and the launch ends with BAD_SIGNATURE or INVALID_PARAM.',
  hint: 'Make the ID authentication page with an author key, or set `author-key: false`.',
  reference: `${ABI}, ID authentication information`,
});

export const AUTHOR_KEY_UNUSED = defineFault({
  ...FINISH,
  check: 'lint-author-key-unused',
  severity: 'information',
  title: 'Author key present, but not used',
  message: () =>
    'The ID authentication page has an author key, but `author-key` is not true, so the firmware ignores it.',
  why: 'AUTHOR_KEY_DIGEST in attestation reports stays zero unless AUTH_KEY_EN is set. A guest owner who pins the author key would refuse this guest. Early firmware also refused an ID block without author key.',
  hint: 'Set `author-key: true` if guest owners check the author key.',
  reference: `${ABI}; AMDESE/sev-guest issue 13`,
});

const AUTHOR_KEY = { start: 0x880, end: 0xc84 } as const;

export const idBlock: Rule = {
  name: 'id-block',
  manifest: check,
  covers: [
    { check: ID_BLOCK_LENGTH.check, engine: 'vmm-id-block-length' },
    { check: ID_AUTH_LENGTH.check, engine: 'vmm-id-auth-length' },
    { check: ID_BLOCK_LENGTH.check, engine: 'kvm-id-blob-fault' },
    { check: ID_AUTH_LENGTH.check, engine: 'kvm-id-blob-fault' },
    { check: ID_BLOCK_WITHOUT_AUTH.check, engine: 'kvm-id-blob-missing' },
    { check: ID_BLOCK_DIGEST.check, engine: 'fw-launch-finish-launch-digest' },
    { check: ID_BLOCK_POLICY.check, engine: 'fw-launch-finish-policy' },
    { check: ID_BLOCK_VERSION.check, engine: 'fw-launch-finish-id-block-version' },
    { check: AUTHOR_KEY_MISSING.check, engine: 'fw-launch-finish-author-key-algorithm' },
    { check: AUTHOR_KEY_MISSING.check, engine: 'fw-launch-finish-id-key-signature' },
  ],
  fixes,
};

function check(context: ManifestContext): readonly Fault[] {
  const finish = context.parsed.tree.launch?.finish;
  if (!finish || !context.plan) return [];
  return [...blockFaults(context, finish), ...authFaults(context, finish)];
}

function blockFaults({ path, plan, measurement }: ManifestContext, finish: FinishTree): readonly Fault[] {
  const bytes = plan?.finish.idBlock;
  const field = finish.idBlock;
  if (!bytes || !field || !plan) return [];
  const at = { file: path, range: field.range };
  if (bytes.length !== ID_BLOCK_SIZE) return [makeFault(ID_BLOCK_LENGTH, { length: bytes.length }, { at })];
  const block = decodeIdBlock(bytes);
  const faults: Fault[] = [];
  if (block.version !== 1) faults.push(makeFault(ID_BLOCK_VERSION, { version: block.version }, { at }));
  if (measurement && !equalBytes(block.ld, measurement.digest)) {
    const operands = { block: toHex(block.ld), actual: toHex(measurement.digest) };
    faults.push(makeFault(ID_BLOCK_DIGEST, operands, { at }));
  }
  if (block.policy !== plan.start.policy) {
    faults.push(makeFault(ID_BLOCK_POLICY, { block: block.policy, policy: plan.start.policy }, { at }));
  }
  if (!finish.idAuth)
    faults.push(makeFault(ID_BLOCK_WITHOUT_AUTH, {}, { at: { file: path, range: field.key ?? field.range } }));
  return faults;
}

function authFaults({ path, plan, parsed }: ManifestContext, finish: FinishTree): readonly Fault[] {
  const at = (range: TextRange) => ({ at: { file: path, range } });
  if (!finish.idBlock) {
    // A field that is there but wrong has been reported by the grammar.
    if (pairRange(parsed.document, ['launch', 'finish', 'id-block'])) return [];
    const faults: Fault[] = [];
    if (finish.idAuth) faults.push(makeFault(ID_AUTH_WITHOUT_BLOCK, { key: 'id-auth' }, at(finish.idAuth.range)));
    if (finish.authorKey?.value) {
      faults.push(makeFault(ID_AUTH_WITHOUT_BLOCK, { key: 'author-key' }, at(finish.authorKey.range)));
    }
    return faults;
  }
  const auth = plan?.finish.idAuth;
  if (!auth || !finish.idAuth) return [];
  if (auth.length !== ID_AUTH_SIZE)
    return [makeFault(ID_AUTH_LENGTH, { length: auth.length }, at(finish.idAuth.range))];
  const empty = isZero(auth.subarray(AUTHOR_KEY.start, AUTHOR_KEY.end));
  if (finish.authorKey?.value && empty) return [makeFault(AUTHOR_KEY_MISSING, {}, at(finish.authorKey.range))];
  if (!finish.authorKey?.value && !empty) {
    return [makeFault(AUTHOR_KEY_UNUSED, {}, at(finish.authorKey?.range ?? finish.idAuth.range))];
  }
  return [];
}

function fixes(fault: Fault, context: FixContext): readonly Fix[] {
  if (context.kind !== 'manifest' || !fault.at) return [];
  const finish = context.parsed.tree.launch?.finish;
  const replace = (range: TextRange, newText: string) => [{ file: context.path, range, newText }];
  if (fault.check === ID_BLOCK_POLICY.check) {
    const policy = context.parsed.tree.launch?.policy;
    const demanded = fault.operands['block'];
    if (policy?.value.kind !== 'number' || typeof demanded !== 'bigint') return [];
    return [{ title: `Launch with policy ${hex(demanded)}`, changes: replace(policy.range, hex(demanded)) }];
  }
  if (fault.check === AUTHOR_KEY_MISSING.check && finish?.authorKey) {
    return [{ title: 'Set author-key: false', changes: replace(finish.authorKey.range, 'false') }];
  }
  if (fault.check === AUTHOR_KEY_UNUSED.check && finish?.authorKey) {
    return [{ title: 'Set author-key: true', changes: replace(finish.authorKey.range, 'true') }];
  }
  return [];
}
