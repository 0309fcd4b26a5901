import * as assert from 'node:assert/strict';
import * as fc from 'fast-check';
import {
  fieldNodes,
  nodeAddress,
  nodeId,
  pageNodes,
  type RmpNode,
  rangeNodes,
  stateNodes,
} from '../../../../client/views/rmp/nodes.js';
import { nodeDescription, nodeLabel, nodeSpoken, STATE_MEANING } from '../../../../client/views/rmp/text.js';
import type { PageState, RmpPage, RmpRange } from '../../../../debug-adapter/protocol.js';

const STATES = Object.keys(STATE_MEANING) as PageState[];

const range: RmpRange = {
  start: '0x10000',
  pages: 1000,
  state: 'Guest-Valid',
  asid: 1,
  changed: 2,
  gpa: '0x1000',
  label: 'update 1',
};
const page: RmpPage = {
  spa: '0x10000',
  gpa: '0x1000',
  state: 'Guest-Valid',
  changed: true,
  raw: '00'.repeat(16),
  fields: [{ name: 'assigned', value: '1' }],
};

describe('RMP tree', () => {
  it('names a range by its state, and by its addresses below a state', () => {
    const single: RmpRange = { ...range, pages: 1 };
    assert.deepEqual(rangeNodes([range, single]).map(nodeLabel), ['Guest-Valid', 'Guest-Valid']);
    assert.deepEqual(rangeNodes([range, single], true).map(nodeLabel), ['0x10000–0x3f7fff', '0x10000']);
  });

  it('says change, guest address, size, origin and owner of a range in words', () => {
    const [node, below] = [...rangeNodes([range]), ...rangeNodes([range], true)];
    assert.ok(node && below);
    const text = 'GPA 0x1000 · 1,000 pages, 2 changed · update 1 · ASID 1';
    assert.equal(nodeDescription(node), `${text} · SPA 0x10000–0x3f7fff`);
    assert.equal(nodeDescription(below), text);
    assert.equal(
      nodeSpoken(node),
      'Guest-Valid, 1,000 pages from 0x10000, guest address 0x1000, made by update 1, 2 pages changed by the last step',
    );
    const [all] = rangeNodes([{ ...range, changed: 1000 }]);
    assert.match(all ? nodeDescription(all) : '', / 1,000 pages, all changed · /);
  });

  it('leaves out what a host page does not have', () => {
    const [host] = rangeNodes([{ start: '0x0', pages: 16, state: 'Hypervisor', asid: 0, changed: 0 }]);
    assert.equal(host && nodeDescription(host), '0x0–0xffff · 16 pages');
  });

  it('names a page by its guest address if it has one', () => {
    const node: RmpNode = { kind: 'page', page };
    assert.equal(nodeLabel(node), 'GPA 0x1000');
    assert.equal(nodeDescription(node), 'SPA 0x10000 · changed');
    assert.equal(nodeLabel({ kind: 'page', page: { ...page, gpa: undefined } }), '0x10000');
  });

  it('ends a range that has more pages than shown with the number still to come', () => {
    const nodes = pageNodes(range, Array(256).fill(page));
    const more = nodes.at(-1);
    assert.equal(nodes.length, 257);
    assert.equal(more && nodeLabel(more), '256 more…');
    assert.equal(more && nodeDescription(more), 'of 1,000 pages, 256 shown');
    assert.equal(nodeLabel({ kind: 'more', range, shown: 768 }), '232 more…');
    assert.equal(pageNodes({ ...range, pages: 1 }, [page]).length, 1);
  });

  it('shows the fields of an entry and then its bytes', () => {
    assert.deepEqual(
      fieldNodes(page).map((node) => `${nodeLabel(node)}=${nodeDescription(node)}`),
      ['assigned=1', `raw entry=${page.raw}`],
    );
  });

  it('copies the address of what has one', () => {
    assert.equal(nodeAddress({ kind: 'range', range, grouped: false }), '0x10000');
    assert.equal(nodeAddress({ kind: 'field', page, name: 'asid', value: '1' }), '0x10000');
    assert.equal(nodeAddress({ kind: 'state', state: 'Firmware', ranges: [] }), undefined);
  });

  it('groups by state without losing a range, and gives every node an id of its own', () => {
    const ranges = fc.array(fc.record({ pages: fc.integer({ min: 1, max: 4096 }), state: fc.constantFrom(...STATES) }));
    fc.assert(
      fc.property(ranges, (shapes) => {
        let next = 0;
        const made = shapes.map(({ pages, state }): RmpRange => {
          const start = `0x${(next * 4096).toString(16)}`;
          next += pages;
          return { start, pages, state, asid: 0, changed: 0 };
        });
        const groups = stateNodes(made);
        const regained = groups.flatMap((group) => (group.kind === 'state' ? group.ranges : []));
        assert.deepEqual(new Set(regained), new Set(made));
        assert.equal(regained.length, made.length);
        const ids = [...groups, ...rangeNodes(made)].map(nodeId);
        assert.equal(new Set(ids).size, ids.length);
      }),
    );
  });
});
