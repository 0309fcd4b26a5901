import * as assert from 'node:assert/strict';
import * as vscode from 'vscode';
import type { RmpNode } from '../../client/views/rmp/nodes.js';
import { DebugDriver } from './debug-driver.js';
import { eventually, extension, lineOf, open } from './support.js';

describe('RMP view', () => {
  let driver: DebugDriver;
  let document: vscode.TextDocument;
  before(async () => {
    driver = new DebugDriver();
    ({ document } = await open('guest.snp.yaml'));
    await vscode.commands.executeCommand('sevSnp.debugLaunch', document.uri);
    await driver.stopped();
    while ((await driver.frames())[0]?.line !== lineOf(document, 'type: secrets') + 1) await driver.stepOver();
  });
  after(async () => {
    await driver.finish();
    driver.dispose();
  });

  it('shows ranges, their pages and the fields of an entry', async () => {
    const ranges = await children();
    const texts = await Promise.all(ranges.map(text));
    const guest = ranges.find((node) => node.kind === 'range' && node.range.state === 'Guest-Valid');
    assert.ok(guest, texts.join('\n'));
    const [page] = await children(guest);
    assert.ok(page?.kind === 'page');
    assert.equal(page.page.gpa, '0x1000');
    const fields = await Promise.all((await children(page)).map(text));
    assert.ok(
      fields.some((field) => /assigned/i.test(field)),
      fields.join('\n'),
    );
    assert.ok(
      fields.some((field) => /raw entry [0-9a-f]{32}/.test(field)),
      fields.join('\n'),
    );
  });

  it('marks what the last step changed', async () => {
    const before = await changedRanges();
    assert.ok(before.length > 0, 'the zero pages were the last step');
    await driver.stepOver();
    const after = await eventually(
      'other marks',
      changedRanges,
      (now) => JSON.stringify(now) !== JSON.stringify(before),
    );
    assert.ok(after.length > 0, 'the secrets page was the last step');
  });

  it('pages long ranges', async () => {
    const [long] = (await children()).filter((node) => node.kind === 'range' && node.range.pages > 1000);
    assert.ok(long, 'memory of the host is one long range');
    const first = await children(long);
    assert.equal(first.length, 257);
    const more = first.at(-1);
    assert.equal(more?.kind, 'more');
    await vscode.commands.executeCommand('sevSnp.rmpMore', more);
    assert.equal((await children(long)).length, 513);
  });

  it('leads from a page to the line that made it, and copies its address', async () => {
    const page = (await allPages()).find((node) => node.kind === 'page' && node.page.gpa === '0x5000');
    assert.ok(page?.kind === 'page');
    await vscode.commands.executeCommand('sevSnp.revealManifestLine', page);
    assert.equal(vscode.window.activeTextEditor?.selection.start.line, lineOf(document, 'type: secrets'));
    await vscode.commands.executeCommand('sevSnp.copyAddress', page);
    assert.equal(await vscode.env.clipboard.readText(), page.page.spa);
  });

  it('is empty again after the session', async () => {
    await driver.finish();
    await eventually('an empty tree', children, (nodes) => nodes.length === 0);
  });
});

async function children(node?: RmpNode): Promise<RmpNode[]> {
  return (await extension().exports.rmp.getChildren(node)) ?? [];
}

async function text(node: RmpNode): Promise<string> {
  const item = await extension().exports.rmp.getTreeItem(node);
  return `${item.label} ${item.description}`;
}

async function changedRanges(): Promise<string[]> {
  const texts = await Promise.all((await children()).map(text));
  return texts.filter((each) => each.includes('changed'));
}

async function allPages(): Promise<RmpNode[]> {
  const short = (await children()).filter((node) => node.kind === 'range' && node.range.pages < 256);
  return (await Promise.all(short.map(children))).flat();
}
