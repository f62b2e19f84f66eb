// The exec plugins that kubectl is told to run, and no others: credentialPluginPolicy and credentialPluginAllowlist of kuberc
// (kubectl.config.k8s.io, kubectl 1.35 and later).

import { isAbsolute } from 'node:path';
import { isObject } from '../../shared/wire.ts';
import { parse } from '../kubeconfig/yaml.ts';
import type { OwnFiles } from '../warm/machine.ts';
import { absolute, beneathHome } from '../warm/paths.ts';

export interface Allowed {
  readonly policy: 'AllowAll' | 'DenyAll' | 'Allowlist';
  readonly has: (command: string) => boolean;
}

const LARGEST_BYTES = 1024 * 1024;
const NONE: Allowed = { policy: 'AllowAll', has: () => false };

/** What cannot be read allows nothing by name. */
export function readAllowed(host: OwnFiles): Allowed {
  const file = kubercFile(host);
  const text = file === undefined ? undefined : host.files.read(file, LARGEST_BYTES, true).content;
  if (text === undefined) return NONE;
  try {
    return allowedBy(parse(text)[0]?.toJS(), host);
  } catch {
    return NONE;
  }
}

/** Where kubectl looks; nowhere where the environment says so. */
export function kubercFile({ env }: Pick<OwnFiles, 'env'>): string | undefined {
  if (env.KUBERC === 'off' || env.KUBECTL_KUBERC === 'false') return undefined;
  return env.KUBERC || beneathHome(env, '.kube/kuberc');
}

function allowedBy(kuberc: unknown, host: OwnFiles): Allowed {
  // v1alpha1 has no such fields.
  if (!isObject(kuberc) || kuberc.apiVersion === 'kubectl.config.k8s.io/v1alpha1') return NONE;
  const { credentialPluginPolicy: policy, credentialPluginAllowlist: list } = kuberc;
  const names = (Array.isArray(list) ? list : []).flatMap((entry: unknown) => {
    // `name` is what 1.35 reads, `command` what 1.37 wants.
    const name = isObject(entry) ? (entry.command ?? entry.name) : undefined;
    return typeof name === 'string' && name !== '' ? [name] : [];
  });
  const known = new Set(names.flatMap((name) => lookPath(name, host) ?? []));
  return {
    policy: policy === 'DenyAll' || policy === 'Allowlist' ? policy : 'AllowAll',
    has: (command) => {
      const found = lookPath(command, host);
      return names.includes(command) || (found !== undefined && known.has(found));
    },
  };
}

/** Where a name leads by PATH; a path is itself. */
function lookPath(command: string, { env, files }: OwnFiles): string | undefined {
  if (isAbsolute(command)) return command;
  if (/[\\/]/.test(command)) return undefined;
  const folders = (env.PATH ?? '').split(':').flatMap((folder) => absolute(folder) ?? []);
  return folders.map((folder) => `${folder}/${command}`).find((file) => files.lstat(file) !== undefined);
}
