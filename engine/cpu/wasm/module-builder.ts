import { ByteWriter } from './byte-writer.js';
import type { FunctionBuilder, WasmType } from './function-builder.js';

enum Section {
  type = 1,
  import = 2,
  function = 3,
  export = 7,
  code = 10,
}
enum External {
  function = 0,
  table = 1,
  memory = 2,
}
const FUNCREF = 0x70;
const FUNCTION_TYPE = 0x60;

/** Name under which modules import memory, table and functions. */
export const IMPORT_NAMESPACE = 'cpu';

/**
 * A module that imports one memory, functions and perhaps one table, and exports functions. Imports come first. V8
 * keeps a copy of a table for every instance that imports it: only the one that calls through it should.
 */
export class ModuleBuilder {
  private readonly types = new Map<string, number>();
  private readonly signatures: { parameters: readonly WasmType[]; results: readonly WasmType[] }[] = [];
  private readonly imports: { name: string; type: number }[] = [];
  private readonly functions: FunctionBuilder[] = [];
  private readonly exports: { name: string; index: number }[] = [];

  constructor(private readonly importsTable: boolean) {}

  type(parameters: readonly WasmType[], results: readonly WasmType[]): number {
    const key = `${parameters}:${results}`;
    const known = this.types.get(key);
    if (known !== undefined) return known;
    this.types.set(key, this.signatures.length);
    return this.signatures.push({ parameters, results }) - 1;
  }

  import(name: string, parameters: readonly WasmType[], results: readonly WasmType[]): number {
    if (this.functions.length > 0) throw new Error('imports come before functions');
    return this.imports.push({ name, type: this.type(parameters, results) }) - 1;
  }

  /** Index of the function, for calls. */
  add(fn: FunctionBuilder, exportName?: string): number {
    this.type(fn.parameters, fn.results);
    const index = this.imports.length + this.functions.push(fn) - 1;
    if (exportName !== undefined) this.exports.push({ name: exportName, index });
    return index;
  }

  finish(): Uint8Array {
    const out = new ByteWriter();
    for (const byte of [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]) out.u8(byte);
    const section = (id: Section, count: number, write: (body: ByteWriter) => void): void => {
      const body = new ByteWriter();
      body.unsigned(count);
      write(body);
      out.u8(id);
      out.unsigned(body.length);
      out.append(body);
    };
    section(Section.type, this.signatures.length, (body) => {
      for (const { parameters, results } of this.signatures) {
        body.u8(FUNCTION_TYPE);
        for (const list of [parameters, results]) {
          body.unsigned(list.length);
          for (const type of list) body.u8(type);
        }
      }
    });
    section(Section.import, this.imports.length + (this.importsTable ? 2 : 1), (body) => {
      for (const { name, type } of this.imports) {
        body.name(IMPORT_NAMESPACE);
        body.name(name);
        body.u8(External.function);
        body.unsigned(type);
      }
      body.name(IMPORT_NAMESPACE);
      body.name('memory');
      for (const byte of [External.memory, 0, 1]) body.u8(byte);
      if (!this.importsTable) return;
      body.name(IMPORT_NAMESPACE);
      body.name('table');
      for (const byte of [External.table, FUNCREF, 0, 1]) body.u8(byte);
    });
    section(Section.function, this.functions.length, (body) => {
      for (const fn of this.functions) body.unsigned(this.type(fn.parameters, fn.results));
    });
    section(Section.export, this.exports.length, (body) => {
      for (const { name, index } of this.exports) {
        body.name(name);
        body.u8(External.function);
        body.unsigned(index);
      }
    });
    section(Section.code, this.functions.length, (body) => {
      for (const fn of this.functions) {
        const code = fn.body();
        body.unsigned(code.length);
        body.append(code);
      }
    });
    return out.finish();
  }
}
