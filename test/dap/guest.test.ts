import assert from 'node:assert/strict';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { GuestClient, sampleGuest } from './guest.js';

const nameOf = (frame: DebugProtocol.StackFrame | undefined): string => frame?.name ?? '';
const vmgexit = { functions: [{ name: 'exit:VMGEXIT' }] };

describe('a guest in the debugger', function () {
  // Whole guests run, in code that is not bundled.
  this.timeout(120_000);
  let client: GuestClient;
  beforeEach(() => {
    client = new GuestClient();
  });
  afterEach(() => client.send('disconnect'));

  /** Stops after the first VMGEXIT, in C code: 64-bit mode, a stack, functions. */
  const toLongMode = async (): Promise<void> => {
    await client.run('hello', vmgexit);
    await client.set({});
    await client.go('next');
    assert.match(nameOf((await client.frames())[0]), /64-bit, CPL 0/);
  };

  describe('runs', () => {
    it('to an orderly end, with its consoles as lines', async () => {
      assert.equal(await client.run('hello'), undefined);
      const output = client.output('stdout');
      assert.match(output, /Launch digest:\n[0-9a-f]{96}\n[^\n]*\nThe guest runs\. [^\n]*\n/);
      assert.match(
        output,
        /The guest asked to be ended: .* \(reason set 0xf, code 0x0\)\. It executed [\d,]+ instructions\.\n$/,
      );
      assert.doesNotMatch(output, /kvm_vmgexit/, 'tracepoints are for those who ask for them');
      const lines = client.wire.map(({ message }) => message.body as DebugProtocol.OutputEvent['body'] | undefined);
      const folded = lines.findIndex((line) => line?.group === 'startCollapsed');
      assert.match(lines[folded]?.output ?? '', /^debugcon: [0-9a-f]+… \(\d+ characters/);
      assert.match(lines[folded + 1]?.output ?? '', /^[0-9a-f]{2368}\n$/, 'the report, to be copied');
      assert.equal(lines[folded + 2]?.group, 'end');
      assert.equal((await client.event('exited'))['exitCode'], 0);
    });

    it('in the same way whether it is looked at or not', async () => {
      await client.run('two-vcpus');
      const alone = client.output('stdout');
      const watched = new GuestClient();
      await watched.run('two-vcpus', vmgexit);
      for (let n = 0; n < 40; n++) await watched.go(n % 3 === 0 ? 'next' : 'stepIn');
      await watched.set({});
      await watched.ask('continue', { threadId: 1 });
      assert.equal(await watched.stoppedOrEnded(), undefined);
      assert.equal(watched.output('stdout'), alone);
      await watched.send('disconnect');
    });

    it('not at all if it is not asked for', async () => {
      await client.start(sampleGuest('two-vcpus'));
      await client.event('terminated');
      assert.match(client.output('stdout'), /The guest is not run/);
    });

    it('without debugging past everything', async () => {
      await client.ask('initialize', {});
      await client.ask('launch', { manifest: sampleGuest('two-vcpus'), noDebug: true });
      await client.set(vmgexit);
      await client.ask('configurationDone');
      assert.equal((await client.event('exited'))['exitCode'], 0);
      assert.equal(client.wire.filter(({ message }) => message.event === 'stopped').length, 0);
    });

    it('with the tracepoints of KVM where they are asked for', async () => {
      await client.ask('initialize', {});
      await client.ask('launch', { manifest: sampleGuest('two-vcpus'), traceExits: true });
      await client.ask('configurationDone');
      await client.event('terminated');
      assert.match(client.output('stdout'), /kvm_vmgexit_enter: vcpu 0/);
    });

    it('until it is paused, and on from there', async () => {
      await client.run('two-vcpus', vmgexit);
      await client.set({});
      await client.ask('continue', { threadId: 1 });
      await client.ask('pause', { threadId: 1 });
      assert.equal((await client.event('stopped'))['reason'], 'pause');
      assert.ok((await client.frames()).some((frame) => /^guest 0x/.test(frame.name)));
      await client.ask('continue', { threadId: 1 });
      await client.event('terminated');
    });

    it('into a mistake, whose explanation is where it stops', async () => {
      const stopped = await client.run('forgotten-pvalidate');
      assert.equal(stopped?.['reason'], 'exception');
      assert.match(String(stopped?.['text']), /not validated/);
      const info = await client.ask('exceptionInfo', { threadId: 1 });
      assert.match(String(info['description']), /To fix: /);
      assert.match(client.output('stderr'), /The guest asked the host to end it: /);
      assert.ok((await client.number('rip')) > 0xffff_0000n, 'the state is still there to be looked at');
      assert.ok((await client.frames()).length > 2, 'with the functions that led there');
      await client.ask('continue', { threadId: 1 });
      assert.equal((await client.event('exited'))['exitCode'], 1);
    });
  });

  describe('stops', () => {
    it('at exits, with the code of the guest below its handlers', async () => {
      const stopped = await client.run('hello', vmgexit);
      assert.equal(stopped?.['reason'], 'function breakpoint');
      assert.match(nameOf((await client.frames())[0]), /^guest 0x[0-9a-f]+ → VMGEXIT: get SEV information · 64-bit/);
      assert.match(await client.evaluate('exit'), /^VMGEXIT \(0x403\)$/);
      await client.go('stepIn');
      const names = (await client.frames()).map((frame) => frame.name);
      assert.match(names[0] ?? '', / · KVM$/);
      const isGuest = names.map((name) => name.startsWith('guest 0x'));
      assert.ok(isGuest.indexOf(true) > 0, names.join(' < '));
      assert.match(names[isGuest.lastIndexOf(true) + 1] ?? '', /^KVM_RUN/);
      assert.match(names.at(-1) ?? '', /^run of the guest/);
    });

    it('at a VMGEXIT with a GHCB page, with what the page asks for', async () => {
      await client.run('hello', { functions: [{ name: 'exit:VMGEXIT', condition: '(exit.ghcbMsr & 0xfff) == 0' }] });
      assert.match(nameOf((await client.frames())[0]), /→ VMGEXIT: HV_FEATURES · /);
      await client.go('continue');
      assert.match(nameOf((await client.frames())[0]), /→ VMGEXIT: OUT to port 0x3f[0-9a-f] · /);
    });

    it('before the first instruction of each vCPU, if that is asked for', async () => {
      const stopped = await client.run('two-vcpus', { filters: [{ filterId: 'guest-entry' }] });
      assert.equal(stopped?.['reason'], 'entry');
      assert.match(nameOf((await client.frames())[0]), /^guest 0xfffffff0 · real mode/);
      const second = await client.go('continue');
      assert.equal(second['threadId'], 2);
      await client.ask('continue', { threadId: 2 });
      assert.equal(await client.stoppedOrEnded(), undefined);
    });

    it('after an instruction that works on the RMP, with its result', async () => {
      await client.run('hello', { functions: [{ name: 'pvalidate' }] });
      assert.match(nameOf((await client.frames())[0]), /: PVALIDATE → FAIL_SIZEMISMATCH · /);
      await client.go('continue');
      assert.match(nameOf((await client.frames())[0]), /: PVALIDATE → SUCCESS · /);
      assert.match(await client.evaluate('rmp(rdi)'), /Guest-Valid/);
    });

    it('at exceptions by name, with what they mean', async () => {
      await client.run('hello', { functions: [{ name: '#vc' }] });
      assert.match(nameOf((await client.frames())[0]), /← #VC \(VMM communication\), error code 0x72 \(CPUID\)/);
    });

    it('at exceptions that a filter names', async () => {
      const filter = (condition: string) => ({ filters: [{ filterId: 'guest-exception', condition }] });
      const stopped = await client.run('two-vcpus', filter('#PF, vc'));
      assert.equal(stopped?.['reason'], 'exception');
      assert.equal(stopped?.['text'], '#VC');
      assert.match(String((await client.ask('exceptionInfo', { threadId: 1 }))['description']), /CPUID/);
      await client.set(filter('#GP'));
      await client.ask('continue', { threadId: 1 });
      assert.equal(await client.stoppedOrEnded(), undefined);
    });

    it('at RMP faults if they are asked for', async () => {
      const stopped = await client.run('forgotten-pvalidate', { filters: [{ filterId: 'rmp-fault' }] });
      assert.match(String(stopped?.['text']), /not validated/i);
      assert.match(await client.evaluate('fault.check'), /-/);
    });

    it('at instructions, also of real mode, under conditions and hit counts', async () => {
      const reset = { instructionReference: 'gva0:0xfffffff0' };
      const stopped = await client.run('two-vcpus', { instructions: [reset] });
      assert.equal(stopped?.['reason'], 'instruction breakpoint');
      assert.match(nameOf((await client.frames())[0]), /^guest 0xfffffff0 · real mode/);
      assert.equal(await client.number('rip'), 0xfff0n);

      await client.set(vmgexit);
      await client.go('continue');
      const address = (await client.frames())[0]?.instructionPointerReference;
      await client.set({ instructions: [{ instructionReference: address, condition: 'rcx == 1' }] });
      await client.ask('continue', { threadId: 1 });
      assert.equal(await client.stoppedOrEnded(), undefined, 'the condition is never met');
    });

    it('each time that an instruction is reached, and counts', async () => {
      await client.run('two-vcpus', vmgexit);
      const instructionReference = (await client.frames())[0]?.instructionPointerReference;
      await client.set({ instructions: [{ instructionReference, logMessage: 'asked {u64(rsp)}' }] });
      await client.ask('continue', { threadId: 1 });
      assert.equal(await client.stoppedOrEnded(), undefined, 'a log message does not stop');
      const times = client.output('stdout').match(/^asked 0x[0-9a-f]+$/gm)?.length ?? 0;
      assert.ok(times >= 4, `${times} requests through the GHCB MSR`);

      const again = new GuestClient();
      const last = { instructionReference, hitCondition: String(times + 1) };
      const stopped = await again.run('two-vcpus', { instructions: [last] });
      assert.equal(stopped?.['reason'], 'instruction breakpoint');
      const threadId = Number(stopped?.['threadId']);
      const address = (await again.frames(threadId))[0]?.instructionPointerReference;
      assert.equal(address?.split(':')[1], instructionReference?.split(':')[1]);
      await again.ask('continue', { threadId: 1 });
      assert.equal(await again.stoppedOrEnded(), undefined, 'it was the last time');
      await again.send('disconnect');
    });

    it('says which names of exits and exceptions there are', async () => {
      await client.ask('initialize', {});
      await client.ask('launch', { manifest: sampleGuest('hello') });
      const { breakpoints } = await client.ask<DebugProtocol.SetFunctionBreakpointsResponse['body']>(
        'setFunctionBreakpoints',
        { breakpoints: ['exit:*', 'exit:vmgexit', '#PF', 'exit:VMGEXTI', '#XX'].map((name) => ({ name })) },
      );
      assert.deepEqual(
        breakpoints.map((b) => b.verified),
        [true, true, true, false, false],
      );
      assert.match(breakpoints[3]?.message ?? '', /Did you mean exit:VMGEXIT\?/);
    });
  });

  describe('is stepped', () => {
    it('over a call, into it and out of it', async () => {
      await toLongMode();
      await client.until('call');
      const [call, after] = await client.disassembly(0, 2);
      const rsp = await client.number('rsp');
      await client.go('stepIn');
      assert.equal(await client.number('rsp'), rsp - 8n);
      assert.equal(await client.number('u64(rsp)'), BigInt(after?.address ?? 0), 'the return address');
      await client.go('stepOut');
      assert.equal(await client.number('rip'), BigInt(after?.address ?? 0));
      assert.equal(await client.number('rsp'), rsp);

      const { variablesReference } = await scope(client, 'General registers');
      await client.ask('setVariable', { variablesReference, name: 'rip', value: String(call?.address) });
      await client.go('next');
      assert.equal(await client.number('rip'), BigInt(after?.address ?? 0), 'the same call, passed over');
      assert.equal(await client.number('rsp'), rsp);
    });

    it('over the exit of VMGEXIT and into it', async () => {
      await client.run('hello', vmgexit);
      await client.set({});
      const back = await client.go('next');
      assert.equal(back['reason'], 'step');
      const after = (await client.frames())[0];
      assert.match(nameOf(after), /^guest 0x/);
      const before = { instructionReference: after?.instructionPointerReference, offset: -4 };
      await client.set({ instructions: [before] });
      await client.go('continue');
      assert.equal(await client.instruction(), 'vmgexit');
      await client.go('next');
      assert.equal((await client.frames())[0]?.instructionPointerReference, after?.instructionPointerReference);
      await client.go('continue');
      await client.go('stepIn');
      assert.match(nameOf((await client.frames())[0]), / · KVM$/);
    });

    it('over the handler of an exception', async () => {
      await client.run('hello', { instructions: [{ instructionReference: 'gva0:0xfffffff0' }] });
      await client.set({});
      await client.until('cpuid');
      const [, next] = await client.disassembly(0, 2);
      await client.go('next');
      assert.equal(await client.number('rip'), BigInt(next?.address ?? 0));
    });
  });

  describe('shows', () => {
    it('code with its bytes, before and after the next instruction', async () => {
      await toLongMode();
      const lines = await client.disassembly(-4, 10);
      assert.equal(lines.length, 10);
      const rip = await client.number('rip');
      assert.equal(BigInt(lines[4]?.address ?? 0), rip);
      for (const [n, line] of lines.entries()) {
        const length = (line.instructionBytes ?? '').split(' ').length;
        const next = lines[n + 1];
        if (next) assert.equal(BigInt(next.address), BigInt(line.address) + BigInt(length));
      }
    });

    it('the line of the manifest that loaded the code', async () => {
      await toLongMode();
      const top = (await client.frames())[0];
      assert.equal(top?.source?.path, sampleGuest('hello'));
      assert.ok((top?.line ?? 0) > 1);
    });

    it('registers in groups, which can be changed where the processor lets them', async () => {
      await toLongMode();
      const general = await client.scope('General registers');
      assert.deepEqual([...general.keys()].slice(0, 4), ['rax', 'rbx', 'rcx', 'rdx']);
      assert.equal(general.get('rip')?.evaluateName, 'rip');
      assert.match((await client.scope('Control registers')).get('cr0')?.value ?? '', / PE .*PG/);
      assert.match((await client.scope('Control registers')).get('efer')?.value ?? '', / LME LMA/);
      assert.match((await client.scope('Segments')).get('cs')?.value ?? '', /code 64-bit DPL 0/);
      assert.equal((await client.scope('Vectors')).size, 17);
      assert.match((await client.scope('MSRs')).get('sev_features')?.value ?? '', /SNPActive/);
      assert.ok((await client.scope('x87')).has('st7'));

      const set = async (group: string, name: string, value: string) => {
        const { variablesReference } = await scope(client, group);
        return client.send('setVariable', { variablesReference, name, value });
      };
      assert.ok((await set('General registers', 'r9', 'rsp + 8')).success);
      assert.equal(await client.number('r9'), (await client.number('rsp')) + 8n);
      assert.ok((await set('Flags', 'CF', '1')).success);
      assert.equal(await client.number('rflags.CF'), 1n);
      assert.ok((await set('Flags', 'CF', 'false')).success);
      assert.equal(await client.number('rflags.CF'), 0n);
      assert.equal((await set('Control registers', 'cr0', '0')).success, false);
      assert.equal((await set('General registers', 'rax', 'nonsense')).success, false);
    });

    it('the state of a vCPU that has exited, from its VMSA, and changes it there', async () => {
      await client.run('hello', vmgexit);
      const { variablesReference } = await scope(client, 'General registers');
      await client.ask('setVariable', { variablesReference, name: 'r15', value: '0x1234567890' });
      assert.equal(await client.number('r15'), 0x12_3456_7890n);
      await client.set({});
      await client.go('next');
      assert.equal(await client.number('r15'), 0x12_3456_7890n, 'VMRUN has loaded it');
    });

    it('the vCPU: mode, GHCB, VMSA, the exit in words', async () => {
      await client.run('hello', vmgexit);
      const vcpu = await client.scope('vCPU 0');
      assert.equal(vcpu.get('mpState')?.value, 'RUNNABLE');
      const exit = await client.children(vcpu.get('lastExit')?.variablesReference ?? 0);
      assert.match(exit.get('meaning')?.value ?? '', /asks the host/);
      const vmsa = await client.children(vcpu.get('vmsa')?.variablesReference ?? 0);
      assert.equal(vmsa.get('rip')?.value, await client.evaluate('rip'));
      assert.match(vcpu.get('ghcbMsr')?.value ?? '', /^0x[0-9a-f]{16} /);
    });

    it('memory by virtual and by physical address, private and shared', async () => {
      await toLongMode();
      const read = async (memoryReference: string, count = 16): Promise<Buffer> => {
        const body = await client.ask('readMemory', { memoryReference, count });
        return Buffer.from(String(body['data']), 'base64');
      };
      const rip = await client.number('rip');
      const physical = await client.evaluate(`gpa(${rip})`);
      assert.match(physical, /, private$/);
      const virtual = await read(`gva0:0x${rip.toString(16)}`);
      const [address] = physical.split(',');
      assert.deepEqual(await read(`gpa:${address}`), virtual);
      const bytes = (await client.disassembly(0, 1))[0]?.instructionBytes?.replaceAll(' ', '');
      assert.ok(virtual.toString('hex').startsWith(bytes ?? '-'));
      const unmapped = await client.ask('readMemory', { memoryReference: 'gva0:0xffff800000000000', count: 8 });
      assert.equal(unmapped['unreadableBytes'], 8);
    });

    it('memory that has been written, which the guest then executes', async () => {
      await toLongMode();
      const rip = await client.number('rip');
      const memoryReference = `gva0:0x${rip.toString(16)}`;
      // mov eax, 0x12345678
      const data = Buffer.from([0xb8, 0x78, 0x56, 0x34, 0x12]).toString('base64');
      assert.equal((await client.ask('writeMemory', { memoryReference, data }))['bytesWritten'], 5);
      assert.equal(await client.instruction(), 'mov eax, 0x12345678');
      await client.go('stepIn');
      assert.equal(await client.number('rax'), 0x1234_5678n);
      assert.equal(await client.number('rip'), rip + 5n);
      const nowhere = { memoryReference: 'gva0:0xffff800000000000', data };
      assert.equal((await client.send('writeMemory', nowhere)).success, false);
    });
  });

  describe('of two vCPUs', () => {
    it('has a thread for each, from the first VMRUN on', async () => {
      await client.ask('initialize', {});
      await client.ask('launch', { manifest: sampleGuest('two-vcpus'), stopOnEntry: true });
      await client.ask('configurationDone');
      await client.event('stopped');
      const names = async (): Promise<readonly string[]> => {
        const { threads } = await client.ask<DebugProtocol.ThreadsResponse['body']>('threads');
        return threads.map((thread) => `${thread.id} ${thread.name}`);
      };
      assert.deepEqual(await names(), ['1 Launch']);
      await client.set(vmgexit);
      await client.go('continue');
      assert.deepEqual(await names(), ['1 vCPU 0', '2 vCPU 1']);
      assert.deepEqual(await client.event('thread'), { reason: 'started', threadId: 2 });
      const second = await client.frames(2);
      assert.match(nameOf(second[0]), /^guest 0x/);
      assert.equal(second.at(-1)?.presentationHint, 'label');
      assert.equal((await client.send('stackTrace', { threadId: 3 })).success, false);
    });

    it('steps the second while the first runs', async () => {
      await client.run('two-vcpus', { functions: [{ name: 'exit:VMGEXIT', condition: 'vcpu == 1' }] });
      assert.equal(await client.number('vcpu'), 1n);
      await client.set({});
      for (let n = 0; n < 5; n++) {
        const stopped = await client.go('next', 2);
        assert.equal(stopped['threadId'], 2);
      }
      await client.ask('continue', { threadId: 2 });
      assert.equal(await client.stoppedOrEnded(), undefined);
    });
  });
});

async function scope(client: GuestClient, name: string): Promise<DebugProtocol.Scope> {
  const frame = (await client.frames())[0];
  const { scopes } = await client.ask<DebugProtocol.ScopesResponse['body']>('scopes', { frameId: frame?.id });
  const found = scopes.find((each) => each.name === name);
  if (!found) throw new Error(`no scope ${name} among ${scopes.map((each) => each.name).join(', ')}`);
  return found;
}
