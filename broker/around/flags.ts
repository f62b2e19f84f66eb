// kube-apiserver's flags, as far as they can be seen: by its page of flags (1.32 and later), or its pod. Pure.

import { isObject } from '../../shared/wire.ts';
import type { Around } from './names.ts';

export type Flags = ReadonlyMap<string, string>;

/**
 * `/flagz` promises no form, and each start puts something else between name and value (`=`, `:`, a space). A text without flags that each
 * API server has is not believed.
 */
export function flagsOfPage(text: string): Flags | undefined {
  const flags = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, name, value = ''] = /^([a-z0-9][a-z0-9-]*)\s*[:=]?\s*(.*)$/.exec(line.trim()) ?? [];
    if (name !== undefined) flags.set(name, value);
  }
  return flags.has('etcd-servers') || flags.has('authorization-mode') ? flags : undefined;
}

/** Of the static pods of a control plane, all of them. @returns one for each pod that runs kube-apiserver */
export function flagsOfPods(pods: readonly unknown[]): readonly Flags[] {
  return pods.flatMap((pod) => {
    const spec = isObject(pod) ? pod.spec : undefined;
    const containers = isObject(spec) && Array.isArray(spec.containers) ? spec.containers : [];
    return containers.flatMap((container: unknown) => {
      if (!isObject(container)) return [];
      const words = [container.command, container.args]
        .flatMap((list) => (Array.isArray(list) ? list : []))
        .map(String);
      const flags = new Map<string, string>();
      for (const word of words) {
        const [, name, value = 'true'] = /^--([a-z0-9-]+)(?:=([\s\S]*))?$/.exec(word) ?? [];
        if (name !== undefined) flags.set(name, value);
      }
      return flags.has('etcd-servers') ? [flags] : [];
    });
  });
}

/** @param asked whether the broker expects to be asked by this API server */
export function judgeFlags(flags: Flags, asked: boolean): Around[] {
  const found: Around[] = [];
  const set = (name: string) => (flags.get(name) ?? '') !== '';
  if (set('token-auth-file')) found.push({ name: 'token_auth_file', detail: 'its tokens have no end' });
  if (set('basic-auth-file')) found.push({ name: 'basic_auth_file', detail: 'its passwords have no end' });
  if (set('client-ca-file')) found.push({ name: 'client_certificates', detail: 'whoever has one needs no session' });
  if (/AlwaysAllow/.test(flags.get('authorization-mode') ?? ''))
    found.push({ name: 'always_allow', detail: 'AlwaysAllow' });
  if (asked && !set('authorization-config') && !set('authorization-webhook-config-file'))
    found.push({
      name: 'no_webhook',
      detail: 'it has neither --authorization-config nor a webhook: see print authz-config',
    });
  return found;
}
