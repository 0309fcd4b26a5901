import assert from 'node:assert/strict';
import { explainFault } from '../../../engine/fault.js';
import { PAGE_TYPE } from '../../../engine/spec/page-type.js';
import { eventJson, faultJson, formatEvent, type JsonValue } from '../../../engine/timeline/format.js';
import { nextEvent } from '../../../engine/timeline/run.js';
import { dryRun, launch } from '../../../engine/vmm/launch.js';
import { type TestPlan, testPlan } from '../../support/plans.js';

function lines(options: TestPlan): { text: string[]; json: ReturnType<typeof eventJson>[] } {
  const run = launch(testPlan(options));
  const text: string[] = [];
  const json: ReturnType<typeof eventJson>[] = [];
  for (let event = nextEvent(run); event; event = nextEvent(run)) {
    text.push(formatEvent(event));
    json.push(eventJson(event));
  }
  return { text, json };
}

describe('text form of events', () => {
  it('shows a page from Hypervisor to Guest-Valid', () => {
    const { text } = lines({ updates: [{ type: PAGE_TYPE.ZERO, gpa: 0x80_0000 }] });
    const start = text.findIndex((line) => line.includes('sev_gmem_post_populate'));
    assert.deepEqual(text.slice(start - 1, start + 11), [
      '    kvm KVM_SEV_SNP_LAUNCH_UPDATE gfn_start=0x800 uaddr=0x7f0000803000 len=0x1000 type=ZERO',
      '      kvm sev_gmem_post_populate gfn=0x800 pfn=0x5204 type=ZERO',
      '        hardware RMPUPDATE spa=0x5204000 size=4K assigned=true immutable=true gpa=0x800000 asid=1',
      '          rmp pfn=0x5204 Hypervisor → Pre-Guest gpa=0x800000 asid=1 (RMPUPDATE)',
      '        = RMPUPDATE: SUCCESS',
      '        firmware SNP_LAUNCH_UPDATE gctx=0x5202000 page=0x5204000 size=4K type=ZERO',
      // Computed with virtee/sev-snp-measure.
      '          digest ZERO gpa=0x800000 ld=4472405c6dbc65e5629805f2be1b3df74eb119841eff12466c24f43e67083c23df5e645b2742b6d9aa0f943e095cebaa',
      '          rmp pfn=0x5204 Pre-Guest → Guest-Valid gpa=0x800000 asid=1 (SNP_LAUNCH_UPDATE)',
      '        = SNP_LAUNCH_UPDATE: SUCCESS',
      '      = sev_gmem_post_populate: 0',
      '    = KVM_SEV_SNP_LAUNCH_UPDATE: 0',
      '  = sev_snp_launch_update: ok',
    ]);
  });

  it('shows a refusal with errno, fw_error and check', () => {
    const { text } = lines({ policy: 0x3_01ffn });
    assert.ok(
      text.includes('    = KVM_SEV_SNP_LAUNCH_START: -EIO (-5) fw_error=0x7 [kvm-launch-start-firmware]'),
      text.join('\n'),
    );
    assert.ok(text.some((line) => line.trim().startsWith('qemu: sev_snp_launch_start: SNP_LAUNCH_START ret=-5')));
  });
});

describe('JSON form of events', () => {
  it('is plain data with the kind in `event`', () => {
    const { json } = lines({ policy: 0x3_01ffn });
    const kinds = new Set(json.map((object) => object['event']));
    assert.deepEqual([...kinds].sort(), ['enter', 'leave', 'log', 'rmp']);
    for (const object of json) assert.deepEqual(JSON.parse(JSON.stringify(object)), object);
  });

  it('has addresses as hex text', () => {
    const { json } = lines({});
    const rmp = json.find((object) => object['event'] === 'rmp');
    assert.deepEqual(pick(rmp, 'pfn', 'spa', 'cause'), ['0x5201', '0x5201000', 'RMPUPDATE']);
    const digest = json.find((object) => object['event'] === 'digest');
    assert.equal(digest?.['gpa'], '0x1000');
    assert.match(String(digest?.['after']), /^[0-9a-f]{96}$/);
    const page = json.find((object) => object['name'] === 'sev_gmem_post_populate');
    assert.deepEqual(pick(page, 'event', 'layer', 'gpa', 'pfn'), ['enter', 'kvm', '0x1000', '0x5204']);
  });

  it('keeps the causes of a fault', () => {
    const { fault } = dryRun(testPlan({ policy: 0x3_01ffn }));
    assert.ok(fault);
    const json = faultJson(fault);
    const cause = json['cause'];
    assert.ok(typeof cause === 'object' && cause !== null && 'check' in cause);
    assert.equal(cause.check, 'fw-policy-abi');
    assert.match(explainFault(fault), /because firmware/);
  });
});

function pick(object: ReturnType<typeof eventJson> | undefined, ...names: string[]): (JsonValue | undefined)[] {
  return names.map((name) => object?.[name]);
}
