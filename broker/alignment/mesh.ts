// What Istio asks in front of a workload or a gateway: policies that want a principal, and authorities of others (CUSTOM).

import { parse } from 'yaml';
import { globMatches } from '../../shared/globs.ts';
import type { KubeObject } from '../manifests/objects.ts';
import { fieldsAt, listAt, textAt, textsAt } from '../manifests/values.ts';
import { type Estate, hasAll, type Labels } from './estate.ts';
import { type Report, subjectOf } from './finding.ts';
import type { Asked, Route } from './route.ts';

/** Where policies are for the whole mesh. */
const ROOT = 'istio-system';

interface Meant {
  readonly namespace: string | undefined;
  readonly labels: Labels;
}

export function askedByMesh(route: Route, pods: readonly Meant[], estate: Estate): Asked | undefined {
  const policies = estate.all('AuthorizationPolicy', 'security.istio.io');
  if (policies.length === 0) return undefined;
  const meant = [...gatewaysOf(route.object, estate), ...pods];
  for (const policy of policies) {
    const one = meant.find((pod) => isSelected(policy, pod));
    if (!one || !coversRoute(policy, route)) continue;
    const provider = providerOf(policy);
    if (provider !== undefined) return askedOfProvider(provider, estate);
    if (wantsPrincipal(policy)) return { by: 'tokens', issuer: issuerFor(one, estate) };
  }
  return undefined;
}

/** The gateways that a VirtualService is for, by the labels of their pods. */
function gatewaysOf(object: KubeObject, estate: Estate): readonly Meant[] {
  if (object.kind !== 'VirtualService') return [];
  return listAt(object.value, 'spec', 'gateways').flatMap((ref): Meant[] => {
    const [first = '', second] = String(ref).split('/');
    const [namespace, name] = second === undefined ? [object.namespace, first] : [first, second];
    const gateway = estate.find('Gateway', namespace, name, 'networking.istio.io');
    if (!gateway) return [];
    const labels = textsAt(gateway.value, 'spec', 'selector');
    return [...new Set([ROOT, namespace, 'istio-ingress'])].map((there) => ({ namespace: there, labels }));
  });
}

function isSelected(policy: KubeObject, { namespace, labels }: Meant): boolean {
  if (policy.namespace !== namespace && policy.namespace !== ROOT) return false;
  return hasAll(labels, textsAt(policy.value, 'spec', 'selector', 'matchLabels'));
}

/** Whether some rule of it is for that host and path. */
function coversRoute({ value }: KubeObject, { host, path }: Route): boolean {
  const rules = listAt(value, 'spec', 'rules');
  return rules.some((rule) => {
    const to = listAt(rule, 'to');
    if (to.length === 0) return true;
    return to.some((one) => {
      const operation = fieldsAt(one, 'operation');
      if (listAt(operation, 'notPaths').length > 0 || listAt(operation, 'notHosts').length > 0) return false;
      return fits(listAt(operation, 'hosts'), host) && fits(listAt(operation, 'paths'), path);
    });
  });
}

function fits(globs: readonly unknown[], name: string): boolean {
  return globs.length === 0 || globs.some((glob) => globMatches(String(glob), name));
}

function providerOf({ value }: KubeObject): string | undefined {
  return textAt(value, 'spec', 'action') === 'CUSTOM' ? textAt(value, 'spec', 'provider', 'name') : undefined;
}

/** ALLOW of nobody but who has a principal, or DENY of whoever has none. */
function wantsPrincipal({ value }: KubeObject): boolean {
  const rules = listAt(value, 'spec', 'rules');
  const action = textAt(value, 'spec', 'action') ?? 'ALLOW';
  const key = action === 'ALLOW' ? 'requestPrincipals' : action === 'DENY' ? 'notRequestPrincipals' : undefined;
  if (key === undefined || rules.length === 0) return false;
  const wants = (rule: unknown) => {
    const from = listAt(rule, 'from');
    return from.length > 0 && from.every((one) => listAt(one, 'source', key).length > 0);
  };
  return action === 'ALLOW' ? rules.every(wants) : rules.some(wants);
}

function issuerFor(meant: Meant, estate: Estate): string | undefined {
  const found = estate.all('RequestAuthentication').find((one) => isSelected(one, meant));
  return found && textAt(found.value, 'spec', 'jwtRules', 0, 'issuer');
}

/** The authority behind a name, as the mesh's own ConfigMap has it. */
function askedOfProvider(name: string, estate: Estate): Asked {
  for (const { settings } of providers(estate)) {
    if (textAt(settings, 'name') !== name) continue;
    for (const by of ['envoyExtAuthzHttp', 'envoyExtAuthzGrpc']) {
      const service = textAt(settings, by, 'service');
      // `namespace/host` for those of a ServiceEntry.
      if (service !== undefined) return { by: 'url', url: service.split('/').at(-1) ?? service };
    }
  }
  return { by: 'own', what: 'an authority of the mesh (CUSTOM)' };
}

function providers(estate: Estate): readonly { readonly settings: unknown; readonly map: KubeObject }[] {
  return estate.all('ConfigMap').flatMap((map) => {
    const text = map.name.startsWith('istio') ? textAt(map.value, 'data', 'mesh') : undefined;
    if (text === undefined) return [];
    return listAt(meshOf(text), 'extensionProviders').map((settings) => ({ settings, map }));
  });
}

function meshOf(text: string): unknown {
  try {
    return parse(text, { maxAliasCount: 10, logLevel: 'silent' });
  } catch {
    return undefined;
  }
}

/** What of Istio lets through whom nobody asked. */
export function judgeMesh(estate: Estate, isMeant: (object: KubeObject) => boolean, report: Report): void {
  for (const { settings, map } of providers(estate))
    for (const by of ['envoyExtAuthzHttp', 'envoyExtAuthzGrpc'])
      if (fieldsAt(settings, by).failOpen === true && isMeant(map))
        report('auth_fail_open', subjectOf(map), ['data', 'mesh'], `${by}.failOpen is true`);
  const policies = estate.all('AuthorizationPolicy', 'security.istio.io');
  for (const one of estate.all('RequestAuthentication')) {
    if (!isMeant(one)) continue;
    const labels = textsAt(one.value, 'spec', 'selector', 'matchLabels');
    const guarded = policies.some(
      (policy) =>
        isSelected(policy, { namespace: one.namespace, labels }) && (wantsPrincipal(policy) || providerOf(policy)),
    );
    if (!guarded)
      report(
        'auth_bypass',
        subjectOf(one),
        ['spec'],
        'no AuthorizationPolicy wants requestPrincipals: without a token one passes',
      );
  }
}
