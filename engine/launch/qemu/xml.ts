import type { TextRange } from '../../fault.js';
import type { Given } from './machine.js';

export interface XmlElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, Given<string>>;
  readonly children: readonly XmlElement[];
  /** Text directly in the element, with what stands in CDATA. */
  readonly text: string;
  /** Of the start tag. */
  readonly range: TextRange;
  readonly textRange: TextRange;
}

export interface ParsedXml {
  readonly root?: XmlElement;
  /** The first thing that is not well-formed. */
  readonly problem?: { readonly text: string; readonly range: TextRange };
}

/** How the engine asks its host for an XML parser. It never throws; what it has to guess is a problem. */
export type XmlParser = (text: string) => ParsedXml;

export function childOf(element: XmlElement | undefined, name: string): XmlElement | undefined {
  return element?.children.find((child) => child.name === name);
}

export function attribute(element: XmlElement, name: string): Given<string> | undefined {
  return element.attributes.get(name);
}

/** Text without the white space around it. */
export function textOf({ text, textRange }: XmlElement): Given<string> {
  return { value: text.trim(), range: textRange };
}
