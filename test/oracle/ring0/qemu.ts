import { spawn, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CONTROL, EXIT_PORT, RAM_SIZE, RESULT, RESULT_SIZE, RESULTS, RUNNER, STATUS } from './layout.js';

/**
 * Runs an image in qemu-system-x86_64 with TCG. The guest's RAM is a file: cases are in it at the start, results at
 * the end.
 */

/** An AMD processor with what both sides have; LA57, PCID, protection keys and UMIP's later relatives are off. */
const CPU =
  'EPYC-v1,-sha-ni,-fxsr-opt,-3dnowprefetch,-osvw,-topoext,-la57,-pcid,-pku,-avx,-avx2,-fma,-f16c,-xsave,-xsaveopt,-xsavec,-xgetbv1,-misalignsse,+umip,+smep,+smap,+fsgsbase,+nx,+pdpe1gb,+syscall,-svm,phys-bits=40';
const BIOS_SIZE = 0x1_0000;

/** Version in one line, or undefined where QEMU is not installed. */
export function qemuVersion(): string | undefined {
  const run = spawnSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' });
  return run.status === 0 ? run.stdout.split('\n')[0] : undefined;
}

/** Only a reset vector: JMP FAR 0:RUNNER. */
function bios(): Uint8Array {
  const out = new Uint8Array(BIOS_SIZE).fill(0xcc);
  out.set([0xea, RUNNER & 0xff, RUNNER >> 8, 0, 0], BIOS_SIZE - 16);
  return out;
}

const POLL_MS = 100;
/** Processor time, and polls, without progress after which a case counts as hanging: a loop, or a wait for ever. */
const PATIENCE_SECONDS = 1;
const PATIENCE_POLLS = 600;

/** Processor time of a process in seconds (proc(5): fields 14 and 15 of stat, in ticks of 10 ms). */
function processorTime(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** All of memory after the last case. A case that does not end gets the status `hang`, one that QEMU dies of `crash`. */
export async function runQemu(image: Uint8Array): Promise<Uint8Array> {
  const folder = mkdtempSync(join(tmpdir(), 'cpu-ring0-qemu-'));
  const [ram, rom] = [join(folder, 'ram'), join(folder, 'bios')];
  try {
    writeFileSync(ram, image);
    writeFileSync(rom, bios());
    for (;;) {
      const end = await runOnce(ram, rom);
      if (end === 'done') return readFileSync(ram);
      skip(ram, STATUS[end], end);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readWord(file: string, at: number): number {
  const handle = openSync(file, 'r');
  try {
    const bytes = new Uint8Array(4);
    readSync(handle, bytes, 0, 4, at);
    return new DataView(bytes.buffer).getUint32(0, true);
  } finally {
    closeSync(handle);
  }
}

function writeWord(file: string, at: number, value: number): void {
  const handle = openSync(file, 'r+');
  try {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    writeSync(handle, bytes, 0, 4, at);
  } finally {
    closeSync(handle);
  }
}

function skip(ram: string, status: number, why: string): void {
  const index = readWord(ram, CONTROL.index);
  if (readWord(ram, CONTROL.running) === 0)
    throw new Error(`QEMU ends outside of a case, before case ${index}: ${why}`);
  writeWord(ram, RESULTS + RESULT_SIZE * index + RESULT.status, status);
  const next = readWord(ram, CONTROL.next);
  writeWord(ram, CONTROL.next, next + readWord(ram, next));
  writeWord(ram, CONTROL.index, index + 1);
  writeWord(ram, CONTROL.running, 0);
}

function runOnce(ram: string, rom: string): Promise<'done' | 'hang' | 'crash'> {
  const child = spawn('qemu-system-x86_64', [
    ...['-machine', 'pc,memory-backend=ram', '-accel', 'tcg,thread=single', '-cpu', CPU, '-m', `${RAM_SIZE >> 20}M`],
    ...['-object', `memory-backend-file,id=ram,size=${RAM_SIZE >> 20}M,mem-path=${ram},share=on`],
    ...['-nodefaults', '-display', 'none', '-vga', 'none', '-bios', rom],
    ...['-device', `isa-debug-exit,iobase=${EXIT_PORT},iosize=4`],
  ]);
  let errors = '';
  child.stderr.on('data', (text) => {
    errors += text;
  });
  return new Promise((resolve, reject) => {
    let seen = -1;
    let idle = 0;
    let since = 0;
    let hangs = false;
    const timer = setInterval(() => {
      const index = readWord(ram, CONTROL.index);
      const used = child.pid === undefined ? 0 : processorTime(child.pid);
      if (index !== seen) {
        seen = index;
        idle = 0;
        since = used;
      } else if (++idle > PATIENCE_POLLS || used - since > PATIENCE_SECONDS) {
        hangs = true;
        child.kill('SIGKILL');
      }
    }, POLL_MS);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearInterval(timer);
      if (readWord(ram, CONTROL.done) === 1) resolve('done');
      else if (hangs) resolve('hang');
      else if (signal !== null) resolve('crash');
      else reject(new Error(`qemu-system-x86_64 ended with ${code}: ${errors}`));
    });
  });
}
