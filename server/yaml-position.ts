import { type Document, isMap, isScalar, isSeq, type Node } from 'yaml';
import type { TextRange } from '../engine/fault.js';

export type YamlPath = readonly (string | number)[];

/** What stands at an offset of a YAML document. */
export interface YamlPlace {
  /** Keys and list indices from the root; for a key, its own name is the last element. */
  readonly path: YamlPath;
  readonly role: 'key' | 'value';
  readonly range: TextRange;
  readonly node: Node;
}

/** The innermost key or value around `offset`. */
export function placeAt(document: Document, offset: number): YamlPlace | undefined {
  let node: Node | null = document.contents;
  let path: YamlPath = [];
  for (;;) {
    if (!node || !covers(node, offset)) return undefined;
    if (isMap(node)) {
      let next: Node | undefined;
      for (const pair of node.items) {
        const key = pair.key as Node | null;
        const value = pair.value as Node | null;
        const name = isScalar(key) ? String(key.value) : '';
        if (key && covers(key, offset)) {
          return { path: [...path, name], role: 'key', range: rangeOfNode(key), node: key };
        }
        if (value && covers(value, offset)) {
          path = [...path, name];
          next = value;
          break;
        }
      }
      if (!next) return { path, role: 'value', range: rangeOfNode(node), node };
      node = next;
    } else if (isSeq(node)) {
      const index = node.items.findIndex((item) => covers(item as Node, offset));
      if (index < 0) return { path, role: 'value', range: rangeOfNode(node), node };
      path = [...path, index];
      node = node.items[index] as Node;
    } else {
      return { path, role: 'value', range: rangeOfNode(node), node };
    }
  }
}

/** The value at `path`, as a node. */
export function nodeAt(document: Document, path: YamlPath): Node | undefined {
  let node: unknown = document.contents;
  for (const step of path) {
    if (isMap(node) && typeof step === 'string') {
      node = node.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === step)?.value;
    } else if (isSeq(node) && typeof step === 'number') {
      node = node.items[step];
    } else return undefined;
  }
  return isMap(node) || isSeq(node) || isScalar(node) ? node : undefined;
}

/** The key of the last step of `path`. */
export function keyAt(document: Document, path: YamlPath): Node | undefined {
  const parent = nodeAt(document, path.slice(0, -1));
  const name = path[path.length - 1];
  if (!isMap(parent)) return undefined;
  const key = parent.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === name)?.key;
  return isScalar(key) ? key : undefined;
}

/** Range of the value itself, without the comment and white space after it. */
export function rangeOfNode(node: Node): TextRange {
  const range = node.range;
  return range ? { start: range[0], end: range[1] } : { start: 0, end: 0 };
}

/** The characters from the start of the key to the end of its value's lines: what to delete to remove it. */
export function pairRange(document: Document, path: YamlPath): TextRange | undefined {
  const key = keyAt(document, path);
  const value = nodeAt(document, path);
  if (!key?.range) return undefined;
  return { start: key.range[0], end: value?.range ? value.range[1] : key.range[1] };
}

function covers(node: Node | null, offset: number): boolean {
  const range = node?.range;
  return range !== undefined && range !== null && range[0] <= offset && offset <= range[1];
}
