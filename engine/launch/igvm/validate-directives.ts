import { hex } from '../../address.js';
import { type Fault, makeFault } from '../../fault.js';
import * as faults from './faults.js';
import type { IgvmDirective, IgvmFile, IgvmParameterArea } from './file.js';

/** Rules between directives: parameter areas, and to which platform a context belongs. The first that is broken. */
export function validateDirectives(file: IgvmFile): Fault | undefined {
  const areas = new Map<number, { readonly area: IgvmParameterArea; inserted: boolean }>();
  for (const directive of file.directives) {
    const wrong = (problem: string): Fault => {
      const { kind: name, offset } = directive;
      return makeFault(faults.IGVM_PARAMETER_AREA, { path: file.path, offset: hex(offset), name, problem });
    };
    switch (directive.kind) {
      case 'PARAMETER_AREA':
        if (areas.has(directive.area)) return wrong(`parameter area ${directive.area} is declared a second time`);
        areas.set(directive.area, { area: directive, inserted: false });
        break;
      case 'VP_CONTEXT':
        if (file.platforms.some(({ mask }) => mask === directive.mask)) break;
        return makeFault(faults.IGVM_CONTEXT_PLATFORM, {
          path: file.path,
          offset: hex(directive.offset),
          mask: hex(directive.mask),
        });
      case 'PAGE_DATA':
      case 'REQUIRED_MEMORY':
      case 'SNP_ID_BLOCK':
      case 'ERROR_RANGE':
      case 'VBS_MEASUREMENT':
        break;
      default: {
        const used = areas.get(directive.area);
        if (!used) return wrong(`parameter area ${directive.area} is not declared`);
        if (used.inserted) return wrong(`parameter area ${directive.area} was inserted before`);
        if (directive.kind === 'PARAMETER_INSERT') {
          used.inserted = true;
          if (insidePageTables(file, directive)) return wrong('it lies in the region of relocatable page tables');
        } else if (directive.byteOffset >= used.area.length) {
          return wrong(
            `offset ${hex(directive.byteOffset)} is beyond area ${directive.area} (${used.area.length} bytes)`,
          );
        }
      }
    }
  }
  return undefined;
}

function insidePageTables(
  { initialization }: IgvmFile,
  insert: Extract<IgvmDirective, { kind: 'PARAMETER_INSERT' }>,
): boolean {
  return initialization.some(
    (region) =>
      region.kind === 'PAGE_TABLE_RELOCATION_REGION' &&
      (region.mask & insert.mask) !== 0 &&
      insert.gpa >= region.gpa &&
      insert.gpa < region.gpa + Number(region.size),
  );
}
