import * as path from 'node:path';
import * as vscode from 'vscode';
import { DEBUG_TYPE, MANIFEST_GLOB, MANIFEST_LANGUAGE } from '../ids.js';
import { workspaceRights } from '../workspace-rights.js';

const MANIFEST_NAME = /\.snp\.(yaml|yml|json)$/i;

export function isManifest(document: vscode.TextDocument): boolean {
  return document.languageId === MANIFEST_LANGUAGE || MANIFEST_NAME.test(document.uri.path);
}

/** The launch of one manifest, without a launch.json. */
export function launchConfiguration(manifest: string): vscode.DebugConfiguration {
  return {
    type: DEBUG_TYPE,
    request: 'launch',
    name: `Launch ${path.basename(manifest)}`,
    manifest,
    stopOnEntry: true,
  };
}

/** Fills in what a launch configuration leaves out; refuses with one sentence what cannot be launched. */
export class ConfigurationProvider implements vscode.DebugConfigurationProvider {
  resolveDebugConfiguration(
    _folder: vscode.WorkspaceFolder | undefined,
    configuration: vscode.DebugConfiguration,
  ): vscode.ProviderResult<vscode.DebugConfiguration> {
    // F5 without a launch.json gives an empty configuration.
    const bare = !configuration.type && !configuration.request && !configuration.name;
    if (!bare && configuration['manifest']) return configuration;
    const document = activeManifest();
    if (!document) return refuse('Open a launch manifest (*.snp.yaml) to debug it.');
    if (document.isUntitled) return refuse('Save the manifest first: its paths are relative to the file.');
    const launch = launchConfiguration(document.uri.fsPath);
    return bare ? launch : { ...launch, ...configuration, manifest: launch['manifest'] };
  }

  async resolveDebugConfigurationWithSubstitutedVariables(
    folder: vscode.WorkspaceFolder | undefined,
    configuration: vscode.DebugConfiguration,
  ): Promise<vscode.DebugConfiguration | undefined> {
    const named = configuration['manifest'];
    if (typeof named !== 'string') return refuse('"manifest" of the launch configuration must be a path.');
    const manifest = path.resolve(folder?.uri.fsPath ?? '', named);
    if (!(await isFile(manifest))) return refuse(`There is no manifest ${manifest}.`);
    if (!MANIFEST_NAME.test(manifest)) {
      return refuse(
        `${path.basename(manifest)} is not a launch manifest: its name must end in .snp.yaml, .snp.yml or .snp.json.`,
      );
    }
    await saveIfDirty(manifest);
    return {
      ...configuration,
      manifest,
      ...workspaceRights(),
      clientShowsProblems: true,
    };
  }
}

/** "Run and Debug" offers every manifest of the workspace. */
export class DynamicConfigurations implements vscode.DebugConfigurationProvider {
  async provideDebugConfigurations(): Promise<vscode.DebugConfiguration[]> {
    const manifests = await vscode.workspace.findFiles(MANIFEST_GLOB, '**/node_modules/**', 100);
    return manifests.map((uri) => launchConfiguration(uri.fsPath)).sort((a, b) => a.name.localeCompare(b.name));
  }
}

function activeManifest(): vscode.TextDocument | undefined {
  const active = vscode.window.activeTextEditor?.document;
  if (active && isManifest(active)) return active;
  // The focus may be in the debug console or a view: a single visible manifest is meant then.
  const visible = vscode.window.visibleTextEditors.map((editor) => editor.document).filter(isManifest);
  return visible.length === 1 ? visible[0] : undefined;
}

async function saveIfDirty(manifest: string): Promise<void> {
  const open = vscode.workspace.textDocuments.find((document) => document.uri.fsPath === manifest);
  if (open?.isDirty) await open.save();
}

async function isFile(file: string): Promise<boolean> {
  try {
    return ((await vscode.workspace.fs.stat(vscode.Uri.file(file))).type & vscode.FileType.File) !== 0;
  } catch {
    return false;
  }
}

/** `undefined` ends the start of a session without a further message from VS Code. */
function refuse(sentence: string): undefined {
  void vscode.window.showErrorMessage(sentence);
  return undefined;
}
