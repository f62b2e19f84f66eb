// A kubeconfig with a token in it, so that no plugin runs.

import { writeFile } from 'node:fs/promises';

export interface StaticAccess {
  readonly server: string;
  readonly caFile: string;
  readonly token: string;
}

/** @returns the file */
export async function writeStaticKubeconfig(file: string, { server, caFile, token }: StaticAccess): Promise<string> {
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'dev', cluster: { server, 'certificate-authority': caFile } }],
    users: [{ name: 'static', user: { token } }],
    contexts: [{ name: 'static', context: { cluster: 'dev', user: 'static' } }],
    'current-context': 'static',
  };
  // JSON is YAML; kubectl reads it as such.
  await writeFile(file, JSON.stringify(kubeconfig), { mode: 0o600 });
  return file;
}
