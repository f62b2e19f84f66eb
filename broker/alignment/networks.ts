// Network policies of the pods behind a host: whether there is one, whom it admits, and whether it says what they may call.

import { isObject } from '../../shared/wire.ts';
import { SWITCHES } from '../layers_table/table.ts';
import type { KubeObject } from '../manifests/objects.ts';
import { fieldsAt, listAt, type Path, textAt } from '../manifests/values.ts';
import { type Estate, hasAll, type Labels, podLabels, selectorOf, WORKLOADS } from './estate.ts';
import { type Report, subjectOf } from './finding.ts';
import { select } from './select.ts';

const KINDS = ['NetworkPolicy', 'CiliumNetworkPolicy', 'CiliumClusterwideNetworkPolicy'];

export function judgeNetworks(
  behind: ReadonlySet<KubeObject>,
  estate: Estate,
  isMeant: (object: KubeObject) => boolean,
  report: Report,
): void {
  const used = new Set<KubeObject>();
  const candidates = makeCandidates(estate);
  for (const service of behind) {
    const selector = selectorOf(service);
    // Without one somebody else names the addresses: which pods are meant is not known.
    if (Object.keys(selector).length === 0 || !isMeant(service)) continue;
    const pods = podsOf(service, selector, estate);
    const selecting = candidates(service.namespace, pods).filter((one) => pods.some((labels) => selects(one, labels)));
    for (const policy of selecting) used.add(policy);
    const inbound = selecting.filter((one) => directionsOf(one).has('Ingress'));
    if (inbound.length === 0) report('netpol_none', subjectOf(service), ['spec', 'selector'], 'of its pods');
    else if (!selecting.some((one) => directionsOf(one).has('Egress'))) {
      const [first] = inbound;
      if (first) report('netpol_no_egress', subjectOf(first), ['spec'], `of the pods of Service ${service.name}`);
    }
  }
  // Whoever is not behind a host may be reached by everybody, as an ingress is; of whom nothing is known is judged.
  for (const policy of KINDS.flatMap((kind) => estate.all(kind)))
    if (used.has(policy) || (isMeant(policy) && !isKnown(policy, estate))) judgeOpenness(policy, report);
}

/** Whether something that it selects was audited too. */
function isKnown(policy: KubeObject, estate: Estate): boolean {
  const { namespace } = policy;
  return (
    WORKLOADS.some((kind) => estate.inNamespace(kind, namespace).some((one) => selects(policy, podLabels(one)))) ||
    estate.inNamespace('Service', namespace).some((one) => selects(policy, selectorOf(one)))
  );
}

function podsOf(service: KubeObject, selector: Labels, estate: Estate): readonly Labels[] {
  const workloads = estate.workloads(service.namespace, selector);
  return workloads.length > 0 ? workloads.map((one) => podLabels(one)) : [selector];
}

/** Policies that may select pods with such labels: those that name none, and by the first label that they name. */
function makeCandidates(estate: Estate) {
  const byLabel = new Map<string, KubeObject[]>();
  for (const policy of KINDS.flatMap((kind) => estate.all(kind))) {
    const [first = []] = Object.entries(selectorOfPolicy(policy).labels);
    const there = policy.kind === 'CiliumClusterwideNetworkPolicy' ? '*' : (policy.namespace ?? '');
    const key = [there, ...first].join('\0');
    const list = byLabel.get(key);
    if (list) list.push(policy);
    else byLabel.set(key, [policy]);
  }
  return (namespace: string | undefined, pods: readonly Labels[]): readonly KubeObject[] => {
    const labels = new Set(pods.flatMap((one) => Object.entries(one).map((pair) => pair.join('\0'))));
    const keys = ['*', namespace ?? ''].flatMap((there) => [there, ...[...labels].map((one) => `${there}\0${one}`)]);
    return [...new Set(keys.flatMap((one) => byLabel.get(one) ?? []))];
  };
}

interface Selector {
  readonly labels: Labels;
  readonly expressions: readonly unknown[];
}

const selectors = new WeakMap<KubeObject, Selector>();
function selectorOfPolicy(policy: KubeObject): Selector {
  const known = selectors.get(policy);
  if (known) return known;
  const { kind, value } = policy;
  const selector = fieldsAt(value, 'spec', kind === 'NetworkPolicy' ? 'podSelector' : 'endpointSelector');
  const wanted = Object.entries(fieldsAt(selector, 'matchLabels')).map(([key, one]) => [plain(key), String(one)]);
  const own = { labels: Object.fromEntries(wanted), expressions: listAt(selector, 'matchExpressions') };
  selectors.set(policy, own);
  return own;
}

function selects(policy: KubeObject, labels: Labels): boolean {
  const { labels: wanted, expressions } = selectorOfPolicy(policy);
  return hasAll(labels, wanted) && expressions.every((one) => fits(one, labels));
}

/** Cilium says where a label is from. */
const plain = (key: string) => key.replace(/^(?:k8s|any):/, '');

function fits(expression: unknown, labels: Labels): boolean {
  const value = labels[plain(textAt(expression, 'key') ?? '')];
  const values = listAt(expression, 'values').map(String);
  switch (textAt(expression, 'operator')) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      return false;
  }
}

/** Which directions it restricts: without `policyTypes` Ingress, and Egress where it has rules of it. */
function directionsOf({ kind, value }: KubeObject): ReadonlySet<string> {
  const spec = fieldsAt(value, 'spec');
  if (kind !== 'NetworkPolicy') {
    const has = (...keys: readonly string[]) => keys.some((key) => Object.hasOwn(spec, key));
    return new Set([
      ...(has('ingress', 'ingressDeny') ? ['Ingress'] : []),
      ...(has('egress', 'egressDeny') ? ['Egress'] : []),
    ]);
  }
  const types = listAt(spec, 'policyTypes').map(String);
  if (types.length > 0) return new Set(types);
  return new Set(['Ingress', ...(Object.hasOwn(spec, 'egress') ? ['Egress'] : [])]);
}

const OPEN = SWITCHES.filter(({ finding }) => finding === 'netpol_allow_all');

function judgeOpenness(policy: KubeObject, report: Report): void {
  const open = policy.kind === 'NetworkPolicy' ? openOf(policy) : openOfCilium(policy);
  const [first] = open;
  if (first) report('netpol_allow_all', subjectOf(policy), first.path, first.detail);
}

interface Open {
  readonly path: Path;
  readonly detail: string;
}

function openOf(policy: KubeObject): readonly Open[] {
  const byTable = OPEN.flatMap(({ place, opens, trap }): Open[] => {
    if (place.in !== 'field' || opens.is !== 'equal') return [];
    return [...select(policy.value, place.path)]
      .filter(
        ({ path, value }) =>
          !isNarrowed(policy, path) && opens.values.includes(typeof value === 'string' ? value : JSON.stringify(value)),
      )
      .map(({ path }) => ({ path, detail: trap }));
  });
  const absent = listAt(policy.value, 'spec', 'ingress').flatMap((rule, i): Open[] =>
    isObject(rule) && Object.keys(rule).length > 0 && (rule.from === undefined || rule.from === null)
      ? [{ path: ['spec', 'ingress', i], detail: 'a rule without `from` is everybody' }]
      : [],
  );
  return [...byTable, ...absent];
}

/** A selector of all namespaces beside one of pods means those pods alone. */
function isNarrowed({ value }: KubeObject, path: Path): boolean {
  if (path.at(-1) !== 'namespaceSelector') return false;
  const peer = fieldsAt(value, ...path.slice(0, -1));
  return Object.keys(fieldsAt(peer, 'podSelector')).length > 0;
}

function openOfCilium({ value }: KubeObject): readonly Open[] {
  return listAt(value, 'spec', 'ingress').flatMap((rule, i): Open[] => {
    const path = ['spec', 'ingress', i];
    if (isObject(rule) && Object.keys(rule).length === 0)
      return [{ path, detail: '`ingress: [{}]` lets everything in' }];
    const all = listAt(rule, 'fromEntities')
      .map(String)
      .filter((one) => one === 'all' || one === 'world');
    if (all.length > 0) return [{ path: [...path, 'fromEntities'], detail: `fromEntities: ${all.join(', ')}` }];
    const cidrs = listAt(rule, 'fromCIDR').map(String);
    return cidrs.some((one) => one === '0.0.0.0/0' || one === '::/0')
      ? [{ path: [...path, 'fromCIDR'], detail: 'the whole internet' }]
      : [];
  });
}
