import assert from 'node:assert/strict';
import { hex, PAGE_SIZE, pfn, spaOf } from '../../../engine/address.js';
import { toHex, view } from '../../../engine/bytes.js';
import { rootFault } from '../../../engine/fault.js';
import { destroyVm } from '../../../engine/kvm/sev-vm-destroy.js';
import { measurePlan } from '../../../engine/launch/measure.js';
import type { LaunchPlan, VmmName } from '../../../engine/launch/plan.js';
import { pageState } from '../../../engine/rmp/page-state.js';
import { readEntry } from '../../../engine/rmp/table.js';
import { PAGE_TYPE, VMSA_GPA } from '../../../engine/spec/page-type.js';
import { KVM_PROFILES, type KvmRelease } from '../../../engine/spec/versions.js';
import type { EngineEvent } from '../../../engine/timeline/event.js';
import { eventJson } from '../../../engine/timeline/format.js';
import { finishRun, nextEvent } from '../../../engine/timeline/run.js';
import { dryRun, launch } from '../../../engine/vmm/launch.js';
import { nativeCrypto } from '../../../platform/native-crypto.js';
import { run } from '../../support/kvm-host.js';
import { filled, firmwarePlan, place, type TestUpdate, testPlan } from '../../support/plans.js';
import { tinyOvmf } from '../../support/tiny-ovmf.js';
import { badCpuidPage } from '../kvm/cases/update-cases.js';

const { NORMAL, ZERO, UNMEASURED, SECRETS, CPUID } = PAGE_TYPE;

const ALL_TYPES: readonly TestUpdate[] = [
  { type: NORMAL, gpa: 0x1000, bytes: filled(0x3000, 0xf4) },
  { type: ZERO, gpa: 0x1_0000, length: 0x4000 },
  { type: UNMEASURED, gpa: 0x2_0000, bytes: filled(0x1800, 1), length: 0x2000 },
  { type: SECRETS, gpa: 0x3_0000 },
  { type: CPUID, gpa: 0x3_1000, bytes: new Uint8Array(4096) },
  { type: NORMAL, gpa: 0x5_0000, bytes: filled(100, 7), length: 0x2000 },
];

function eventsOf(plan: LaunchPlan): EngineEvent[] {
  const run = launch(plan);
  const events: EngineEvent[] = [];
  for (let event = nextEvent(run); event; event = nextEvent(run)) events.push(event);
  return events;
}

function logs(plan: LaunchPlan): string[] {
  return eventsOf(plan).flatMap((event) => (event.kind === 'log' && event.source === 'vmm' ? [event.text] : []));
}

describe('launch', () => {
  for (const kvm of Object.keys(KVM_PROFILES) as KvmRelease[]) {
    for (const vmm of ['qemu', 'ec2', 'gce'] as VmmName[]) {
      it(`${kvm}, ${vmm}: gives the digest that measuring gives`, () => {
        for (const plan of [
          testPlan({ kvm, vmm, vcpus: 3, updates: ALL_TYPES }),
          firmwarePlan(tinyOvmf(), { kvm, vmm, vcpus: 2 }),
        ]) {
          const { digest, fault } = dryRun(plan, { crypto: nativeCrypto });
          const measured = measurePlan(plan);
          assert.equal(fault, undefined, fault && rootFault(fault).message);
          assert.ok(measured.ok && digest);
          assert.equal(toHex(digest), toHex(measured.value.digest));
        }
      });
    }
  }

  it('does not need any page', () => {
    const plan = testPlan({ updates: [], vcpus: 2 });
    const measured = measurePlan(plan);
    const { digest } = dryRun(plan);
    assert.ok(digest && measured.ok);
    assert.equal(toHex(digest), toHex(measured.value.digest));
  });

  it('leaves every launched page Guest-Valid and the context in its page', () => {
    const plan = testPlan({ vcpus: 3, updates: ALL_TYPES });
    const { machine } = dryRun(plan);
    const [vm] = machine.kvm.vms.values();
    const [gmem] = vm?.gmems.values() ?? [];
    assert.ok(vm && gmem && vm.snpContext !== undefined);
    const expected = ALL_TYPES.flatMap(({ gpa, length, bytes }) =>
      Array.from(
        { length: Math.ceil((length ?? bytes?.length ?? PAGE_SIZE) / PAGE_SIZE) },
        (_, i) => gpa + i * PAGE_SIZE,
      ),
    );
    assert.deepEqual(
      [...gmem.folios.keys()],
      expected.map((gpa) => gpa / PAGE_SIZE),
    );
    for (const [index, folio] of gmem.folios) {
      const entry = readEntry(machine.rmp, folio.pfn);
      assert.equal(pageState(entry), 'Guest-Valid');
      assert.deepEqual(
        [entry.gpa, entry.asid, entry.vmsa, entry.pageSize2M],
        [index * PAGE_SIZE, vm.asid, false, false],
      );
      assert.deepEqual(entry.vmpl, [0x0f, 0, 0, 0]);
    }
    for (const { vmsaPfn, guestStateProtected } of vm.vcpus) {
      const entry = readEntry(machine.rmp, vmsaPfn ?? pfn(0));
      assert.deepEqual(
        [pageState(entry), entry.vmsa, entry.gpa, guestStateProtected],
        ['Guest-Valid', true, VMSA_GPA, true],
      );
    }
    assert.equal(pageState(readEntry(machine.rmp, vm.snpContext)), 'Context');
    assert.equal(machine.asp.guests.get(spaOf(vm.snpContext))?.state, 'RUNNING');
    assert.equal(vm.launchFinished, true);
    assert.deepEqual(run(destroyVm(machine)), { leaked: [], faults: [] });
  });

  it('splits memory at 4 GiB as q35 does', () => {
    const memory = 0xc000_0000;
    const { machine, fault } = dryRun(testPlan({ memory, updates: [{ type: ZERO, gpa: 0x1_3fff_f000 }] }));
    assert.equal(fault, undefined, fault?.message);
    const [vm] = machine.kvm.vms.values();
    const slots = [...(vm?.slots.values() ?? [])].map((slot) => [hex(slot.gfn), slot.pages, slot.gmemPage]);
    assert.deepEqual(slots, [
      ['0x0', 0x8_0000, 0],
      ['0x100000', 0x4_0000, 0x8_0000],
    ]);
  });

  it('is deterministic', () => {
    for (const plan of [testPlan({ vcpus: 2, updates: ALL_TYPES }), testPlan({ policy: 0n })]) {
      const first = eventsOf(plan).map((event) => JSON.stringify(eventJson(event)));
      const second = eventsOf(plan).map((event) => JSON.stringify(eventJson(event)));
      assert.ok(first.length > 30);
      assert.deepEqual(first, second);
    }
  });

  it('takes its secrets from the seed', () => {
    const plan = testPlan({ updates: ALL_TYPES });
    const key = (seed?: string): string => {
      const { machine } = dryRun(plan, { seed });
      const [guest] = machine.asp.guests.values();
      return guest ? toHex(guest.vmpck[0]) : '';
    };
    assert.equal(key('a'), key('a'));
    assert.notEqual(key('a'), key('b'));
    assert.equal(key().length, 64);
  });

  it('closes every frame that it opens, at the right depth', () => {
    for (const plan of [
      testPlan({ updates: ALL_TYPES }),
      testPlan({ policy: 0n }),
      testPlan({ hostMemory: 0x600_0000 }),
    ]) {
      const open: number[] = [];
      for (const event of eventsOf(plan)) {
        if (event.kind === 'enter') {
          assert.equal(event.depth, open.length);
          open.push(event.frame.id);
        } else if (event.kind === 'leave') {
          assert.equal(open.pop(), event.frame.id);
          assert.equal(event.depth, open.length);
        } else assert.equal(event.depth, open.length);
      }
      assert.deepEqual(open, []);
    }
  });

  it('has a frame of its entry around everything', () => {
    const plan = testPlan({ updates: ALL_TYPES });
    const entries = eventsOf(plan).flatMap((e) => (e.kind === 'enter' && e.depth === 0 ? [e.frame] : []));
    assert.deepEqual(
      entries.map((frame) => [frame.layer, frame.name, frame.entry]),
      plan.entries.map((entry, i) => ['launch', entry.label, i]),
    );
  });

  it('keeps the order of updates where an entry is visited twice', () => {
    const plan = testPlan({ updates: ALL_TYPES });
    const [a, b, c] = plan.updates;
    assert.ok(a && b && c);
    for (const order of [
      [a, c, b],
      [c, b, a],
    ]) {
      const shuffled = { ...plan, updates: order };
      const measured = measurePlan(shuffled);
      const { digest } = dryRun(shuffled);
      assert.ok(digest && measured.ok);
      assert.equal(toHex(digest), toHex(measured.value.digest));
    }
  });

  it('stops a dry run at its budget', () => {
    const { complete, digest, fault } = dryRun(testPlan({ updates: [{ type: ZERO, gpa: 0, length: 0x1000_0000 }] }), {
      maxEvents: 5000,
    });
    assert.deepEqual([complete, digest, fault], [false, undefined, undefined]);
  });

  it('stays at its outcome', () => {
    const run = launch(testPlan());
    const outcome = finishRun(run);
    assert.equal(nextEvent(run), undefined);
    assert.equal(finishRun(run), outcome);
  });
});

describe('a launch that fails', () => {
  it('carries the place of the update', () => {
    const plan = testPlan({
      updates: [
        { type: ZERO, gpa: 0x1000, length: 0x2000 },
        { type: ZERO, gpa: 0x2000 },
      ],
    });
    const { fault, digest } = dryRun(plan);
    assert.equal(digest, undefined);
    assert.deepEqual(fault?.at, place(11));
    assert.equal(fault?.cause?.check, 'kvm-populate-exists');
    assert.deepEqual(logs(plan), ["SNP_LAUNCH_UPDATE ret=-5 fw_error=0 ''"]);
  });

  it('carries the place of start, and prints what QEMU prints', () => {
    const refused = testPlan({ policy: 0x30_0000n });
    assert.deepEqual(dryRun(refused).fault?.at, place(3));
    assert.deepEqual(logs(refused), [
      "sev_snp_launch_start: SNP_LAUNCH_START ret=-22 fw_error=0 ''",
      'sev_common_kvm_init: failed to create encryption context',
    ]);
    const newer = testPlan({ policy: 0x3_01ffn });
    assert.equal(rootFault(dryRun(newer).fault ?? assert.fail()).check, 'fw-policy-abi');
    assert.equal(logs(newer)[0], "sev_snp_launch_start: SNP_LAUNCH_START ret=-5 fw_error=7 'Policy is not allowed'");
  });

  it('reports CPUID mismatches leaf by leaf', () => {
    const plan = testPlan({ updates: [{ type: CPUID, gpa: 0x1000, bytes: badCpuidPage() }] });
    const [failed, leaf, last, ...more] = logs(plan);
    assert.equal(failed, "SNP_LAUNCH_UPDATE ret=-5 fw_error=22 'Invalid parameter'");
    assert.match(
      leaf ?? '',
      /^SEV-SNP: CPUID validation failed for function 0x1, index: 0x0, provided: eax:0x00000000, ebx: 0x00000000, ecx: 0xffffffff, edx: 0x00000000, expected: eax:0x00000000, ebx: 0x00000000, ecx: 0x[0-9a-f]{8}, edx: 0x00000000$/,
    );
    assert.ok(!leaf?.endsWith('ecx: 0xffffffff, edx: 0x00000000'));
    assert.deepEqual([last, more], ['SEV-SNP: failed update CPUID page', []]);
  });

  it('does not change the file that it was given', () => {
    const bytes = badCpuidPage();
    const before = toHex(bytes);
    dryRun(testPlan({ updates: [{ type: CPUID, gpa: 0x1000, bytes }] }));
    assert.equal(toHex(bytes), before);
  });

  it('gives its pages back on teardown', () => {
    for (const plan of [
      testPlan({ updates: [...ALL_TYPES, { type: CPUID, gpa: 0x8_0000, bytes: badCpuidPage() }], vcpus: 2 }),
      testPlan({ finish: { idBlock: new Uint8Array(96), idAuth: new Uint8Array(4096) }, vcpus: 2 }),
      testPlan({ kvm: 'v15', policy: 0n }),
    ]) {
      const { machine, fault } = dryRun(plan);
      assert.ok(fault);
      assert.deepEqual(run(destroyVm(machine)), { leaked: [], faults: [] });
    }
  });

  it('ends a FINISH with a short id-auth in the firmware, not in KVM', () => {
    const plan = testPlan({ finish: { idBlock: new Uint8Array(96), idAuth: new Uint8Array(10) } });
    const { fault } = dryRun(plan);
    assert.equal(fault?.check, 'kvm-launch-finish-firmware');
    assert.deepEqual(fault.at, place(99));
    assert.match(logs(plan)[0] ?? '', /^SNP_LAUNCH_FINISH ret=-5 fw_error=\d+ '.+'$/);
  });

  it('fails at the first page when the host has no memory', () => {
    const { fault } = dryRun(
      testPlan({ hostMemory: 0x600_0000, updates: [{ type: ZERO, gpa: 0, length: 0x200_0000 }] }),
    );
    assert.equal(rootFault(fault ?? assert.fail()).check, 'kvm-no-memory');
  });

  it('measures what lies in the VMSA', () => {
    const plan = testPlan({ vcpus: 1 });
    const vmsa = plan.vmsas[0]?.slice() ?? assert.fail();
    view(vmsa).setBigUint64(0x178, 0x1234n, true);
    const other = { ...plan, vmsas: [vmsa] };
    assert.notDeepEqual(dryRun(plan).digest, dryRun(other).digest);
  });
});
