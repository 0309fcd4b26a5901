import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { CodeAction, CodeLens, CompletionItem, Hover, MarkupContent } from 'vscode-languageserver';
import { TextDocument } from 'vscode-languageserver-textdocument';
import { type LspClient, messageOf, startLsp } from '../support/lsp-client.js';

const GOOD = `snp: 1
launch:
  policy: 0x30000
  update:
    - { gpa: 0x1000, type: normal, file: boot.bin }
    - { gpa: 0x2000, type: secrets }
    - { gpa: 0x3000, type: cpuid }
`;

describe('language server', function () {
  this.timeout(60_000);
  let folder: string;
  let client: LspClient;
  const uri = (name: string): string => pathToFileURL(join(folder, name)).toString();

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'snp-lsp-'));
    writeFileSync(join(folder, 'boot.bin'), new Uint8Array(4096).fill(0xf4));
    client = await startLsp({ initializationOptions: { trusted: true, folders: [folder] } });
  });

  after(async () => {
    assert.equal(await client.stop(), 0);
    rmSync(folder, { recursive: true });
  });

  it('underlines a mistake, offers the fix, and is content with the fixed text', async () => {
    const document = uri('fix.snp.yaml');
    const text = GOOD.replace('0x30000', '0x300000');
    let next = client.diagnostics(document, 1);
    await client.open(document, text);
    const diagnostics = await next;
    const slip = diagnostics.find((d) => d.code === 'lint-policy-did-you-mean');
    assert.ok(slip, diagnostics.map((d) => d.code).join(', '));
    assert.equal(slip.source, 'sev-snp');
    assert.equal(slip.severity, 1);
    assert.match(slip.codeDescription?.href ?? '', /docs\/rules\/lint-policy-did-you-mean\.md$/);
    assert.match(messageOf(slip), /did you mean 0x30000\?[\s\S]*To fix: /);
    assert.deepEqual(slip.range, { start: { line: 2, character: 10 }, end: { line: 2, character: 18 } });

    const actions = (await client.connection.sendRequest('textDocument/codeAction', {
      textDocument: { uri: document },
      range: slip.range,
      context: { diagnostics: [slip] },
    })) as CodeAction[];
    const action = actions.find((a) => a.isPreferred);
    assert.equal(action?.title, 'Change the policy to 0x30000');
    const edits = action.edit?.changes?.[document] ?? [];
    const after = TextDocument.applyEdits(TextDocument.create(document, 'x', 1, text), edits);
    assert.equal(after, GOOD);
    next = client.diagnostics(document, 2);
    await client.change(document, after, 2);
    assert.deepEqual(await next, []);
  });

  it('shows the digest and the way into the debugger over launch:', async () => {
    const document = uri('lens.snp.yaml');
    await client.open(document, GOOD);
    const lenses = (await client.connection.sendRequest('textDocument/codeLens', {
      textDocument: { uri: document },
    })) as CodeLens[];
    assert.deepEqual(
      lenses.map((lens) => lens.range.start.line),
      [1, 1],
    );
    const [copy, debug] = lenses;
    assert.equal(copy?.command?.command, 'sevSnp.copyDigest');
    const digest = copy.command.arguments?.[0] as string;
    assert.match(digest, /^[0-9a-f]{96}$/);
    assert.ok(copy.command.title.includes(digest.slice(0, 12)));
    assert.equal(debug?.command?.command, 'sevSnp.debugLaunch');
    assert.deepEqual(debug.command.arguments, [document]);
  });

  it('says over launch: that and why it would fail', async () => {
    const document = uri('fails.snp.yaml');
    await client.open(document, GOOD.replace('0x30000', '0x20000'));
    const lenses = (await client.connection.sendRequest('textDocument/codeLens', {
      textDocument: { uri: document },
    })) as CodeLens[];
    const failure = lenses.find((lens) => lens.command?.command === 'sevSnp.revealFault');
    assert.match(failure?.command?.title ?? '', /launch fails: .*SMT/);
    assert.deepEqual(failure?.command?.arguments?.slice(1), [2, 10]);
    const digest = lenses.find((lens) => lens.command?.command === 'sevSnp.copyDigest');
    assert.match(digest?.command?.title ?? '', /^would measure [0-9a-f]{12}…/, 'no launch has this digest');
  });

  it('decodes the policy bit by bit, and explains keys', async () => {
    const document = uri('hover.snp.yaml');
    await client.open(document, GOOD.replace('0x30000', '0xb0137'));
    const hoverAt = async (line: number, character: number): Promise<string> => {
      const hover = (await client.connection.sendRequest('textDocument/hover', {
        textDocument: { uri: document },
        position: { line, character },
      })) as Hover | null;
      return (hover?.contents as MarkupContent | undefined)?.value ?? '';
    };
    const policy = await hoverAt(2, 12);
    assert.match(policy, /\| 15:0 \| ABI_MAJOR, ABI_MINOR \| 1\.55 \|/);
    assert.match(policy, /\| 19 \| DEBUG \| true \|/);
    assert.match(policy, /\| 17 \| reserved \| 1 \|/);
    assert.match(await hoverAt(4, 9), /Guest physical address of the first page/);
    assert.match(await hoverAt(4, 15), /frame `0x1`/);
    assert.match(await hoverAt(4, 28), /encrypted and measured by content/);
    assert.match(await hoverAt(1, 2), /The launch: policy/);
  });

  it('completes keys and values', async () => {
    const document = uri('complete.snp.yaml');
    const complete = async (text: string): Promise<string[]> => {
      const offset = text.indexOf('|');
      const plain = text.replace('|', '');
      await client.open(document, plain);
      const items = (await client.connection.sendRequest('textDocument/completion', {
        textDocument: { uri: document },
        position: TextDocument.create('', '', 0, plain).positionAt(offset),
      })) as CompletionItem[];
      await client.connection.sendNotification('textDocument/didClose', { textDocument: { uri: document } });
      return items.map((item) => item.label);
    };
    assert.deepEqual(await complete('snp: 1\n|'), ['host', 'vm', 'launch', 'expect']);
    assert.deepEqual(await complete('snp: 1\nvm:\n  cpu: EPYC\n  |\n'), ['vmm', 'vcpus', 'memory', 'vmsa-features']);
    assert.ok((await complete('vm:\n  cpu: |')).includes('EPYC-Milan-v2'));
    assert.deepEqual(await complete('host:\n  processor: |\nvm:\n'), ['milan', 'genoa', 'turin']);
    assert.ok((await complete('launch:\n  policy:\n    |')).includes('migration-agent'));
    assert.deepEqual(await complete('launch:\n  update:\n    - type: |'), [
      'normal',
      'zero',
      'unmeasured',
      'secrets',
      'cpuid',
      'vmsa',
    ]);
    const page = await complete('launch:\n  update:\n    - type: normal\n      |\n    - igvm: x\n');
    assert.ok(page.includes('gpa') && page.includes('file') && !page.includes('kernel') && !page.includes('type'));
    assert.ok((await complete('launch:\n  update:\n    - firmware: auto\n      |')).includes('append'));
    assert.ok((await complete('launch:\n  update:\n    - |')).includes('firmware'));
    assert.deepEqual(await complete('launch:\n  finish:\n    author-key: |'), ['true', 'false']);
  });

  /** The text with the item of this label taken, at the bar. */
  const accept = async (document: string, marked: string, label: string): Promise<string> => {
    const offset = marked.indexOf('|');
    const plain = marked.replace('|', '');
    await client.open(document, plain);
    const items = (await client.connection.sendRequest('textDocument/completion', {
      textDocument: { uri: document },
      position: TextDocument.create('', '', 0, plain).positionAt(offset),
    })) as CompletionItem[];
    await client.connection.sendNotification('textDocument/didClose', { textDocument: { uri: document } });
    const item = items.find((each) => each.label === label);
    const edit = item?.textEdit;
    assert.ok(edit && 'range' in edit, `${label} among ${items.map((each) => each.label).join(', ')}`);
    return TextDocument.applyEdits(TextDocument.create('', '', 0, plain), [edit]);
  };
  const PAGE = 'launch:\n  update:\n';

  const flows: [string, string, string, string][] = [
    ['a value in braces', `${PAGE}    - { gpa: 0x1000, type: | }\n`, 'secrets', '{ gpa: 0x1000, type: secrets }'],
    ['a value half typed', `${PAGE}    - { gpa: 0x1000, type: sec| }\n`, 'secrets', '{ gpa: 0x1000, type: secrets }'],
    ['a key behind a comma', `${PAGE}    - { type: zero, | }\n`, 'length', '{ type: zero, length:  }'],
    ['a key that has its colon', `${PAGE}    - { type: zero, len|: 1 }\n`, 'length', '{ type: zero, length: 1 }'],
    ['a key in braces that are not closed', `${PAGE}    - { ty|`, 'type', '- { type: '],
    ['over several lines', `${PAGE}    - {\n        gpa: 1,\n        |\n      }\n`, 'type', 'gpa: 1,\n        type: '],
    ['of a map below a key', 'vm: { vcpus: 1, c| }\n', 'cpu', 'vm: { vcpus: 1, cpu:  }'],
    ['of a policy', 'launch: { policy: { smt: | } }\n', 'true', '{ smt: true }'],
    ['a key in JSON', '{ "snp": 1, "la|" }', 'launch', '"launch": '],
    ['an empty key in JSON', '{ "snp": 1, | }', 'launch', '"snp": 1, "launch":  }'],
    ['a value in JSON', '{ "vm": { "vmm": "|" } }', 'ec2', '{ "vmm": "ec2" }'],
    ['a value without its quotes in JSON', '{ "vm": { "vmm": | } }', 'ec2', '{ "vmm": "ec2" }'],
    ['a version in JSON', '{ "host": { "kvm": | } }', '6.11', '{ "kvm": "6.11" }'],
    [
      'of a list in JSON',
      '{ "launch": { "update": [ { "gpa": "0x1000", "type": "z|" } ] } }',
      'zero',
      '"type": "zero"',
    ],
  ];
  for (const [name, text, label, expected] of flows) {
    it(`completes in braces: ${name}`, async () => {
      const document = uri(text.startsWith('{') ? 'flow.snp.json' : 'flow.snp.yaml');
      const after = await accept(document, text, label);
      assert.ok(after.includes(expected), after);
    });
  }

  it('completes no key twice, and nothing in a text or a comment', async () => {
    const labels = async (marked: string): Promise<string[]> => {
      const document = uri('flow.snp.yaml');
      const plain = marked.replace('|', '');
      await client.open(document, plain);
      const items = (await client.connection.sendRequest('textDocument/completion', {
        textDocument: { uri: document },
        position: TextDocument.create('', '', 0, plain).positionAt(marked.indexOf('|')),
      })) as CompletionItem[];
      await client.connection.sendNotification('textDocument/didClose', { textDocument: { uri: document } });
      return items.map((item) => item.label);
    };
    const page = await labels(`${PAGE}    - { gpa: 1, |, type: zero }\n`);
    assert.ok(page.includes('length') && !page.includes('gpa') && !page.includes('type'), page.join());
    assert.deepEqual(await labels(`${PAGE}    - { gpa: 1 } |`), []);
    assert.deepEqual(await labels(`${PAGE}    - { gpa: 1 } # { |`), []);
    assert.ok(!(await labels(`vm: { vcpus: 1 }\nl|`)).includes('vmm'), 'behind the braces');
  });

  it('completes paths, folder by folder, and only inside the workspace', async () => {
    mkdirSync(join(folder, 'images', 'deep'), { recursive: true });
    writeFileSync(join(folder, 'images', 'OVMF.fd'), '');
    writeFileSync(join(folder, 'images', '.hidden'), '');
    const document = uri('paths.snp.yaml');
    const cases: [string, string, string][] = [
      [`${PAGE}    - firmware: |`, 'auto', ''],
      [`${PAGE}    - firmware: ima|`, 'images/', '- firmware: images/'],
      [`${PAGE}    - firmware: images/|`, 'OVMF.fd', '- firmware: images/OVMF.fd'],
      [`${PAGE}    - firmware: images/OV|`, 'deep/', '- firmware: images/deep/'],
      [`${PAGE}    - firmware: "./images/|"`, 'OVMF.fd', '- firmware: "./images/OVMF.fd"'],
      [`${PAGE}    - { gpa: 0x1000, type: normal, file: bo| }`, 'boot.bin', 'file: boot.bin }'],
    ];
    for (const [text, label, expected] of cases) {
      if (label === 'auto') continue;
      assert.ok((await accept(document, text, label)).includes(expected), `${text} with ${label}`);
    }
    const json = await accept(uri('paths.snp.json'), '{ "launch": { "update": [ { "firmware": | } ] } }', 'images/');
    assert.ok(json.includes('"firmware": "images/"'), json);
    for (const outside of ['../', '/', `${tmpdir()}/`, 'images/../../', 'nowhere/']) {
      await assert.rejects(accept(document, `${PAGE}    - firmware: ${outside}|`, 'x'), /x among (auto)?$/m, outside);
    }
  });

  it('shows a fault of a policy file at the line that names it, leads there, and mends it there', async () => {
    writeFileSync(join(folder, 'bad.snp-policy.yaml'), 'snp-policy: 1\nvalue: 0x300000\n');
    const document = uri('names-bad.snp.yaml');
    const next = client.diagnostics(document);
    await client.open(document, GOOD.replace('0x30000', 'bad.snp-policy.yaml'));
    const found = await next;
    assert.equal(found.length, 1, found.map(messageOf).join('\n'));
    const [diagnostic] = found;
    assert.ok(diagnostic);
    assert.deepEqual(diagnostic.range.start, { line: 2, character: 10 });
    assert.match(messageOf(diagnostic), /^In bad\.snp-policy\.yaml: .*did you mean 0x30000/);
    const related = diagnostic.relatedInformation?.[0]?.location;
    assert.deepEqual(related, {
      uri: uri('bad.snp-policy.yaml'),
      range: { start: { line: 1, character: 7 }, end: { line: 1, character: 15 } },
    });
    const actions = (await client.connection.sendRequest('textDocument/codeAction', {
      textDocument: { uri: document },
      range: diagnostic.range,
      context: { diagnostics: found },
    })) as CodeAction[];
    assert.equal(actions[0]?.title, 'Change the policy to 0x30000 in bad.snp-policy.yaml');
    assert.deepEqual(actions[0]?.edit?.changes, {
      [uri('bad.snp-policy.yaml')]: [{ range: related?.range, newText: '0x30000' }],
    });
  });

  it('says of a policy file alone which platform it is judged against', async () => {
    const document = uri('alone.snp-policy.yaml');
    await client.open(document, 'snp-policy: 1\nvalue: 0x30000\n');
    const hover = (await client.connection.sendRequest('textDocument/hover', {
      textDocument: { uri: document },
      position: { line: 1, character: 9 },
    })) as Hover | null;
    const text = (hover?.contents as MarkupContent | undefined)?.value ?? '';
    assert.match(text, /Accepted by KVM/);
    assert.match(
      text,
      /Judged against \w+, SNP firmware \d+\.\d+, KVM \S+, the platform of a manifest without `host:`/,
    );
  });

  it('checks again when a file changes that the manifest names', async () => {
    const document = uri('dependent.snp.yaml');
    let next = client.diagnostics(document);
    await client.open(document, GOOD.replace('boot.bin', 'late.bin'));
    assert.ok((await next).length > 0, 'the file is missing');
    next = client.diagnostics(document);
    writeFileSync(join(folder, 'late.bin'), new Uint8Array(4096));
    await client.connection.sendNotification('workspace/didChangeWatchedFiles', {
      changes: [{ uri: uri('late.bin'), type: 1 }],
    });
    assert.deepEqual(await next, []);
  });

  it('checks again when an open policy file changes, saved or not', async () => {
    writeFileSync(join(folder, 'p.snp-policy.yaml'), 'snp-policy: 1\nvalue: 0x30000\n');
    const document = uri('with-policy.snp.yaml');
    const policy = uri('p.snp-policy.yaml');
    let next = client.diagnostics(document);
    await client.open(document, GOOD.replace('0x30000', 'p.snp-policy.yaml'));
    assert.deepEqual(await next, []);
    await client.open(policy, 'snp-policy: 1\nvalue: 0x30000\n');
    next = client.diagnostics(document);
    await client.change(policy, 'snp-policy: 1\nvalue: 0x20000\n', 2);
    const found = await next;
    assert.ok(
      found.some((d) => /SMT/.test(messageOf(d))),
      JSON.stringify(found),
    );
    assert.equal(found[0]?.range.start.line, 2);
  });

  it('publishes only the last of many quick edits', async () => {
    const document = uri('race.snp.yaml');
    const seen = client.published.length;
    const last = client.diagnostics(document, 40);
    await client.open(document, GOOD);
    for (let version = 2; version <= 40; version++) {
      await client.change(document, version % 2 ? `${GOOD}#`.repeat(version) : GOOD, version);
    }
    assert.deepEqual(await last, []);
    const versions = client.published
      .slice(seen)
      .filter((p) => p.uri === document)
      .map((p) => p.version);
    assert.ok(versions.length <= 3, `published for versions ${versions.join(', ')}`);
    assert.equal(versions.at(-1), 40);
  });

  it('clears the diagnostics of a closed document', async () => {
    const document = uri('close.snp.yaml');
    let next = client.diagnostics(document);
    await client.open(document, 'snp: 2\n');
    assert.ok((await next).length > 0);
    next = client.diagnostics(document);
    await client.connection.sendNotification('textDocument/didClose', { textDocument: { uri: document } });
    assert.deepEqual(await next, []);
  });

  it('answers for a document that is no file and for one of another kind of text', async () => {
    const document = 'untitled:Untitled-1.snp.yaml';
    const next = client.diagnostics(document);
    await client.open(document, '\0\0\0binary');
    assert.ok((await next).length > 0);
  });
});

describe('language server in an untrusted workspace', function () {
  this.timeout(60_000);

  it('reads nothing outside of the folders until trust is granted', async () => {
    const outside = mkdtempSync(join(tmpdir(), 'snp-outside-'));
    const inside = mkdtempSync(join(tmpdir(), 'snp-inside-'));
    writeFileSync(join(outside, 'boot.bin'), new Uint8Array(4096));
    const client = await startLsp({ initializationOptions: { trusted: false, folders: [inside] } });
    try {
      const document = pathToFileURL(join(inside, 'a.snp.yaml')).toString();
      let next = client.diagnostics(document);
      await client.open(document, GOOD.replace('boot.bin', join(outside, 'boot.bin')));
      const refused = await next;
      assert.ok(
        refused.some((d) => /trust/i.test(messageOf(d))),
        JSON.stringify(refused),
      );
      next = client.diagnostics(document);
      await client.connection.sendNotification('sevSnp/trustGranted');
      assert.deepEqual(await next, []);
    } finally {
      await client.stop();
      rmSync(outside, { recursive: true });
      rmSync(inside, { recursive: true });
    }
  });
});
