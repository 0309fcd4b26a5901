import assert from 'node:assert/strict';
import { type DigestStep, type DigestStepsOptions, digestSteps } from '../../engine/asp/digest-steps.js';
import { fromHex, toHex } from '../../engine/bytes.js';
import { PAGE_TYPE } from '../../engine/spec/page-type.js';
import { haveVectors, readVectorJson, synthCases } from '../support/vectors.js';

interface DigestCase {
  readonly kind: string;
  readonly tag: string;
  readonly steps: string;
  readonly ld?: string;
  readonly imd?: string;
  readonly pages?: number;
  readonly error?: string;
  readonly soft?: unknown;
  readonly disputed?: unknown;
}

interface StepFile {
  readonly imi_en?: boolean;
  readonly steps: readonly {
    readonly type: string | number;
    readonly gpa?: string | number;
    readonly page_size?: string;
    readonly data?: string;
    readonly fill?: string | number;
    readonly imi?: boolean;
    readonly vmpl1?: number;
    readonly vmpl2?: number;
    readonly vmpl3?: number;
  }[];
}

/** The reference's words for an error, and the check of ours that means the same. */
const ERRORS: readonly (readonly [RegExp, string])[] = [
  [/2M page must be 2M aligned/, 'hw-rmpupdate-gpa-alignment'],
  [/pages must be 4K/, 'fw-launch-update-type-size'],
  [/page type \S+ is reserved/, 'fw-launch-update-page-type'],
  [/is not a multiple of/, 'image-page-list-length'],
  [/is not a page address/, 'hw-rmpupdate-gpa-alignment'],
  [/every page must have IMI_PAGE/, 'fw-launch-update-imi'],
];

const number = (value: string | number): number => Number(value);

function parse(file: StepFile): { steps: DigestStep[]; options: DigestStepsOptions } {
  const steps = file.steps.map((step): DigestStep => {
    const name = typeof step.type === 'string' ? step.type.toUpperCase() : '';
    const data = step.data === undefined ? undefined : fromHex(step.data);
    return {
      type: PAGE_TYPE[name as keyof typeof PAGE_TYPE] ?? number(step.type),
      pageSize2M: step.page_size === '2m',
      vmplMasks: [step.vmpl1 ?? 0, step.vmpl2 ?? 0, step.vmpl3 ?? 0],
      imiPage: step.imi ?? false,
      ...(step.gpa === undefined ? {} : { gpa: number(step.gpa) }),
      ...(data ? { data } : {}),
      ...(step.fill === undefined ? {} : { fill: number(step.fill) }),
    };
  });
  return { steps, options: { imiEnabled: file.imi_en ?? false } };
}

/** Cases that only advise, or where reference tools differ, do not bind us. */
const binding = (c: DigestCase): boolean => c.soft === undefined && c.disputed === undefined;

describe('digest vectors', () => {
  if (!haveVectors()) {
    it('needs the test vectors', function () {
      this.skip();
    });
    return;
  }
  const cases = (synthCases('digest') as unknown as DigestCase[]).filter(binding);
  it('are there', () => assert.ok(cases.length > 0));
  for (const c of cases) {
    it(`${c.steps} ${c.tag}`, () => {
      const { steps, options } = parse(readVectorJson(`synth/${c.steps}`) as StepFile);
      const result = digestSteps(steps, options);
      if (c.error !== undefined) {
        assert.ok(!result.ok, `accepted, but the reference says: ${c.error}`);
        const expected = ERRORS.find(([pattern]) => pattern.test(c.error ?? ''));
        assert.ok(expected, `no check is known for: ${c.error}`);
        assert.equal(result.fault.check, expected[1]);
        const step = /step (\d+)/.exec(c.error);
        if (step) assert.equal(result.step, Number(step[1]));
        return;
      }
      assert.ok(result.ok, result.ok ? '' : result.fault.message);
      assert.equal(toHex(result.value.ld), c.ld);
      assert.equal(toHex(result.value.imd), c.imd);
      assert.equal(result.value.pages, c.pages);
    });
  }
});
