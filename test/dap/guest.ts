import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { type Body, DapClient } from './client.js';

const SAMPLES = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'samples', 'guests');

/** Manifest of a sample guest. */
export function sampleGuest(name: string): string {
  return join(SAMPLES, `${name}.snp.yaml`);
}

export interface GuestBreakpoints {
  /** Names of functions, exits and exceptions. */
  readonly functions?: readonly Body[];
  readonly instructions?: readonly Body[];
  readonly filters?: readonly Body[];
}

/** A client that runs guests and looks at them. */
export class GuestClient extends DapClient {
  /** Starts a sample and waits for its first stop; undefined if it ends before. */
  async run(name: string, breakpoints: GuestBreakpoints = {}): Promise<Body | undefined> {
    await this.ask('initialize', { adapterID: 'sev-snp', supportsInvalidatedEvent: true, supportsMemoryEvent: true });
    await this.ask('launch', { manifest: sampleGuest(name) });
    await this.event('initialized');
    await this.set(breakpoints);
    await this.ask('configurationDone');
    return this.stoppedOrEnded();
  }

  async set({ functions = [], instructions = [], filters = [{ filterId: 'fault' }] }: GuestBreakpoints): Promise<void> {
    await this.ask('setFunctionBreakpoints', { breakpoints: functions });
    await this.ask('setInstructionBreakpoints', { breakpoints: instructions });
    await this.ask('setExceptionBreakpoints', { filters: [], filterOptions: filters });
  }

  async go(command: 'next' | 'stepIn' | 'stepOut' | 'continue', threadId = 1): Promise<Body> {
    await this.ask(command, { threadId, granularity: 'instruction' });
    const body = await this.stoppedOrEnded();
    if (!body) throw new Error(`the guest ended after ${command}`);
    return body;
  }

  async frames(threadId = 1): Promise<readonly DebugProtocol.StackFrame[]> {
    const body = await this.ask<DebugProtocol.StackTraceResponse['body']>('stackTrace', { threadId });
    return body.stackFrames;
  }

  /** A register, or any number, of the innermost frame. */
  async number(expression: string): Promise<bigint> {
    const text = await this.evaluate(expression);
    return BigInt(/^-?(0x)?[0-9a-f]+/i.exec(text)?.[0] ?? text);
  }

  async disassembly(offset: number, count: number): Promise<readonly DebugProtocol.DisassembledInstruction[]> {
    const top = (await this.frames())[0];
    const body = await this.ask<NonNullable<DebugProtocol.DisassembleResponse['body']>>('disassemble', {
      memoryReference: top?.instructionPointerReference,
      instructionOffset: offset,
      instructionCount: count,
    });
    return body.instructions;
  }

  /** Text of the next instruction. */
  async instruction(): Promise<string> {
    return (await this.disassembly(0, 1))[0]?.instruction ?? '';
  }

  /** Steps by instruction, over calls, until the next instruction begins with these letters. */
  async until(mnemonic: string, most = 400): Promise<void> {
    for (let n = 0; n < most; n++) {
      if ((await this.instruction()).startsWith(mnemonic)) return;
      await this.go('next');
    }
    throw new Error(`no ${mnemonic} in ${most} steps`);
  }
}
