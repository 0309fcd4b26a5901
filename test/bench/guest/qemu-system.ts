import { spawn } from 'node:child_process';
import { type Mark, markOf } from './watch.js';

const QEMU = 'qemu-system-x86_64';

/**
 * Runs an image in QEMU's system emulation by TCG, and gathers its marks from the debug console. Undefined where QEMU is
 * not installed.
 */
export function watchQemu(image: string): Promise<readonly Mark[] | undefined> {
  const words = ['-accel', 'tcg', '-machine', 'pc', '-m', '64', '-nodefaults', '-display', 'none', '-no-reboot'];
  const devices = ['-debugcon', 'stdio', '-global', 'isa-debugcon.iobase=0x402', '-device', 'isa-debug-exit'];
  const child = spawn(QEMU, [...words, '-bios', image, ...devices], { stdio: ['pipe', 'pipe', 'inherit'] });
  const marks: Mark[] = [];
  let text = '';
  child.stdout.setEncoding('latin1').on('data', (data: string) => {
    const now = performance.now();
    text += data;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      marks.push(markOf(text.slice(0, end).trimEnd(), now, 0));
      text = text.slice(end + 1);
    }
  });
  return new Promise((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? resolve(undefined) : reject(error)));
    // isa-debug-exit makes it 2 n + 1.
    child.on('close', (code) => (code === 1 ? resolve(marks) : reject(new Error(`${QEMU} ended with ${code}`))));
  });
}
