import type { Fault } from '../engine/fault.js';
import { documentKind } from '../engine/launch/document-kind.js';
import type { FileSource } from '../engine/launch/file-source.js';
import { importLaunch, type LaunchInput, recogniseInput } from '../engine/launch/qemu/import.js';
import { parseXml } from '../platform/xml.js';
import { type ReadDocument, readManifest } from './document.js';

/** A launch as a command is given it: a manifest, or something that was turned into one. */
export type LaunchDocument =
  | {
      readonly ok: true;
      readonly path: string;
      /** As it stands in the file. */
      readonly text: string;
      readonly manifest: string;
      /** What the text was if it was no manifest. */
      readonly input?: LaunchInput;
      /** What the import found. */
      readonly faults: readonly Fault[];
      /** Moves a fault from the manifest to the place in the file. */
      readonly place: (fault: Fault) => Fault;
    }
  | Extract<ReadDocument, { ok: false }>;

/** Reads a launch manifest, a file with a QEMU command line, or a libvirt domain description. */
export function readLaunch(name: string, files: FileSource): LaunchDocument {
  const document = readManifest(name, files);
  if (!document.ok) return document;
  const { path, text } = document;
  const input = documentKind(path) === 'manifest' ? undefined : recogniseInput(text);
  if (!input) return { ok: true, path, text, manifest: text, faults: [], place: (fault) => fault };
  const { manifest, faults, toSource } = importLaunch(input, text, path, parseXml);
  return { ok: true, path, text, manifest, input, faults, place: toSource };
}
