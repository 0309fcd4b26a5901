import * as vscode from 'vscode';

const TEMPLATE = `snp: 1
host:
  processor: milan
  firmware: "1.55"
  kvm: "6.11"
vm:
  vmm: qemu
  vcpus: 1
  cpu: EPYC-Milan-v2
  memory: 512MiB
launch:
  policy: 0x30000
  update:
    - firmware: auto
`;

/** Asks for a place and writes a manifest that launches the distribution's OVMF. */
export async function newManifest(): Promise<void> {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const uri = await vscode.window.showSaveDialog({
    title: 'New launch manifest',
    saveLabel: 'Create',
    ...(folder ? { defaultUri: vscode.Uri.joinPath(folder, 'launch.snp.yaml') } : {}),
    filters: { 'Launch manifest': ['snp.yaml', 'snp.yml'] },
  });
  if (!uri) return;
  const named = /\.snp\.(yaml|yml)$/i.test(uri.path) ? uri : uri.with({ path: `${withoutSuffix(uri.path)}.snp.yaml` });
  await vscode.workspace.fs.writeFile(named, new TextEncoder().encode(TEMPLATE));
  await vscode.window.showTextDocument(named);
}

function withoutSuffix(path: string): string {
  return path.replace(/\.ya?ml$/i, '').replace(/\.snp$/i, '');
}
