// The programs of a control plane that are on this machine already: in the folder that `KUBEBUILDER_ASSETS` names (envtest's
// convention), or on `PATH`. The demo uses them where they are new enough; the tests have versions of their own.

import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';
import { run } from '../../scripts/run.ts';

/** What the demo's printed configuration needs: AuthenticationConfiguration v1 with its two cache fields. */
const AT_LEAST = [1, 34] as const;
const NAMES = { kubeApiserver: 'kube-apiserver', etcd: 'etcd', kubectl: 'kubectl' } as const;

export type Given = { readonly [name in keyof typeof NAMES]: string };

/** @returns all three, or in words why they are not used; nothing where there is no kube-apiserver at all */
export async function findGiven(env: NodeJS.ProcessEnv): Promise<Given | string | undefined> {
  const { KUBEBUILDER_ASSETS: assets, PATH = '' } = env;
  const folders = [...(assets ? [assets] : []), ...PATH.split(path.delimiter)].filter((folder) =>
    path.isAbsolute(folder),
  );
  const find = (name: string) => folders.map((folder) => path.join(folder, name)).find(isProgram);
  const kubeApiserver = find(NAMES.kubeApiserver);
  if (kubeApiserver === undefined) return assets ? `there is no kube-apiserver in ${assets}` : undefined;
  const [etcd, kubectl] = [find(NAMES.etcd), find(NAMES.kubectl)];
  if (etcd === undefined || kubectl === undefined) {
    return `${kubeApiserver} is not used: there is no ${etcd === undefined ? 'etcd' : 'kubectl'} beside it`;
  }
  const { stdout } = await run(kubeApiserver, ['--version'], { env: {} });
  const [, major = '0', minor = '0'] = /v(\d+)\.(\d+)\./.exec(stdout) ?? [];
  const isNew = Number(major) > AT_LEAST[0] || (Number(major) === AT_LEAST[0] && Number(minor) >= AT_LEAST[1]);
  if (!isNew) return `${kubeApiserver} is not used: the demo needs Kubernetes ${AT_LEAST.join('.')} or later`;
  return { kubeApiserver, etcd, kubectl };
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
