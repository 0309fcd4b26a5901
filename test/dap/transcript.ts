import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DapClient, Message } from './client.js';

const GOLDEN = join(dirname(fileURLToPath(import.meta.url)), 'golden');

/**
 * Everything that went over the wire as text, with the numbers and paths taken out that differ from run to run.
 * A changed line in a golden file is a change that users see; UPDATE_GOLDEN=1 accepts it.
 */
export function checkTranscript(name: string, client: DapClient, folder: string): void {
  const actual = `${client.wire.map(({ to, message }) => line(to, message, folder)).join('\n')}\n`;
  const file = join(GOLDEN, `${name}.txt`);
  if (process.env['UPDATE_GOLDEN']) {
    mkdirSync(GOLDEN, { recursive: true });
    writeFileSync(file, actual);
    return;
  }
  assert.ok(existsSync(file), `${file} is missing: run with UPDATE_GOLDEN=1 and read what it says`);
  assert.equal(actual, readFileSync(file, 'utf8'));
}

function line(to: 'adapter' | 'client', message: Message, folder: string): string {
  const fields: Record<string, unknown> = { ...message };
  const { type, command, event } = fields;
  const failed = fields['success'] === false ? ' refused' : '';
  const content = type === 'request' ? fields['arguments'] : fields['body'];
  const body = content === undefined ? '' : ` ${JSON.stringify(content)}`;
  const name = type === 'event' ? `event ${event}` : `${type} ${command}${failed}`;
  return `${to === 'adapter' ? '>' : '<'} ${name}${body}`
    .split(JSON.stringify(folder).slice(1, -1))
    .join('<folder>')
    .split('\\\\')
    .join('/');
}
