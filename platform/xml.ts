import { Parser } from 'htmlparser2';
import type { TextRange } from '../engine/fault.js';
import type { Given } from '../engine/launch/qemu/machine.js';
import type { ParsedXml, XmlElement } from '../engine/launch/qemu/xml.js';

interface OpenElement {
  readonly name: string;
  readonly attributes: Map<string, Given<string>>;
  readonly children: XmlElement[];
  text: string;
  readonly range: TextRange;
  textRange: TextRange;
}

/** Reads XML into elements. Never throws. The parser is lenient; what it had to guess is reported. */
export function parseXml(text: string): ParsedXml {
  const stack: OpenElement[] = [];
  let root: OpenElement | undefined;
  let problem: ParsedXml['problem'];
  let attributes = new Map<string, Given<string>>();
  const wrong = (message: string, range: TextRange): void => {
    problem ??= { text: message, range };
  };
  const parser = new Parser(
    {
      onattribute(name, value) {
        const range = { start: parser.startIndex, end: parser.endIndex };
        if (attributes.has(name)) wrong(`the attribute ${name} is given twice`, range);
        attributes.set(name, { value, range });
      },
      onopentag(name) {
        const range = { start: parser.startIndex, end: parser.endIndex + 1 };
        const element: OpenElement = { name, attributes, children: [], text: '', range, textRange: range };
        attributes = new Map();
        const parent = stack.at(-1);
        if (parent) parent.children.push(element);
        else if (root) wrong(`there is a second root element, ${name}`, range);
        else root = element;
        stack.push(element);
      },
      ontext(part) {
        const element = stack.at(-1);
        const range = { start: parser.startIndex, end: parser.endIndex + 1 };
        if (element) {
          element.textRange = element.text.trim() === '' ? range : { start: element.textRange.start, end: range.end };
          element.text += part;
        } else if (part.trim() !== '') wrong('there is text outside of the root element', range);
      },
      onclosetag(name, implied) {
        const element = stack.pop();
        if (!element || element.name !== name) return;
        const selfClosed = text.slice(element.range.start, element.range.end).endsWith('/>');
        if (implied && !selfClosed) wrong(`the element ${name} is not closed`, element.range);
      },
    },
    { xmlMode: true, decodeEntities: true },
  );
  parser.write(text);
  parser.end();
  if (!root) wrong('there is no element', { start: 0, end: Math.min(1, text.length) });
  return { ...(root ? { root } : {}), ...(problem ? { problem } : {}) };
}
