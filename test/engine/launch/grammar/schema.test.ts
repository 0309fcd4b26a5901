import assert from 'node:assert/strict';
import { type Json, jsonSchema } from '../../../../engine/launch/grammar/json-schema.js';
import { nodeAtOffset } from '../../../../engine/launch/grammar/locate.js';
import { parseManifest } from '../../../../engine/launch/manifest/parse.js';
import { MANIFEST_SCHEMA } from '../../../../engine/launch/manifest/schema.js';

describe('place in the grammar', () => {
  const text =
    'snp: 1\nlaunch:\n  policy: { smt: true }\n  update:\n    - { gpa: 0x1000, type: zero }\n    - { type: vmsa, registers: { cs: { base: 0 } } }\n    - { type: norml, oops: 1 }\n';
  const parsed = parseManifest(text, 'a');
  for (const [at, part, path] of [
    ['snp', 'key', 'snp'],
    ['1', 'value', 'snp'],
    ['smt', 'key', 'launch.policy.smt'],
    ['true', 'value', 'launch.policy.smt'],
    ['gpa', 'key', 'launch.update[].gpa'],
    ['0x1000', 'value', 'launch.update[].gpa'],
    ['registers', 'key', 'launch.update[].registers'],
    ['base', 'key', 'launch.update[].registers.cs.base'],
    ['norml', 'value', 'launch.update[].type'],
    ['oops', 'key', 'launch.update[].oops'],
  ] as const)
    it(`${part} ${at}`, () => {
      const node = nodeAtOffset(parsed, MANIFEST_SCHEMA, text.indexOf(at) + 1);
      assert.equal(node?.schemaPath, path);
      assert.equal(node?.part, part);
      assert.equal(text.slice(node?.range.start, node?.range.end), at);
      assert.equal(node?.field?.key, at === 'oops' ? undefined : path.split('.').at(-1));
    });

  it('is nowhere outside of the map', () => {
    assert.equal(nodeAtOffset(parseManifest('\n\n# x', 'a'), MANIFEST_SCHEMA, 1), undefined);
  });
});

describe('JSON Schema', () => {
  const at = (schema: Json, ...path: string[]): Json | undefined =>
    path.reduce<Json | undefined>(
      (value, key) =>
        typeof value === 'object' && value !== null ? (value as Readonly<Record<string, Json>>)[key] : undefined,
      schema,
    );

  it('has the keys of the table', () => {
    const schema = jsonSchema('manifest');
    assert.deepEqual(at(schema, 'required'), ['snp', 'launch']);
    assert.deepEqual(Object.keys(at(schema, 'properties') as object), ['snp', 'host', 'vm', 'launch', 'expect']);
    const entries = at(schema, 'properties', 'launch', 'properties', 'update', 'items', 'anyOf');
    assert.equal((entries as readonly Json[]).length, 4);
    assert.match(String(at(schema, 'properties', 'vm', 'properties', 'vcpus', 'description')), /VMSA/);
  });

  it('has patterns that accept what the grammar accepts', () => {
    const memory = at(jsonSchema('manifest'), 'properties', 'vm', 'properties', 'memory', 'anyOf', '1', 'pattern');
    const pattern = new RegExp(String(memory));
    for (const text of ['512MiB', '0x1000', '4096']) assert.match(text, pattern);
    for (const text of ['512MB', '-1', '1.5GiB']) assert.doesNotMatch(text, pattern);
    const digest = at(jsonSchema('manifest'), 'properties', 'expect', 'properties', 'digest', 'pattern');
    assert.match('ab'.repeat(48), new RegExp(String(digest)));
    assert.doesNotMatch('ab'.repeat(47), new RegExp(String(digest)));
  });

  it('describes policy files, too', () => {
    assert.deepEqual(at(jsonSchema('policy'), 'required'), ['snp-policy']);
    assert.deepEqual(at(jsonSchema('policy'), 'properties', 'smt', 'type'), 'boolean');
  });
});
