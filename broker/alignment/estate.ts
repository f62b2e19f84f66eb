// All that was read, together: objects by kind, namespace and name, which Service leads to which pods, and the files of proxies.

import type { KubeObject } from '../manifests/objects.ts';
import type { RawFile } from '../manifests/raw.ts';
import { textAt, textsAt } from '../manifests/values.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Estate {
  readonly objects: readonly KubeObject[];
  readonly files: readonly RawFile[];
  all(kind: string, group?: string): readonly KubeObject[];
  find(kind: string, namespace: string | undefined, name: string, group?: string): KubeObject | undefined;
  /** Workloads of a namespace that have all of these labels in their pods. */
  workloads(namespace: string | undefined, selector: Labels): readonly KubeObject[];
  /** Of one namespace, by kind. */
  inNamespace(kind: string, namespace: string | undefined): readonly KubeObject[];
}

export const WORKLOADS: readonly string[] = ['Deployment', 'StatefulSet', 'DaemonSet', 'Pod'];

export function makeEstate(objects: readonly KubeObject[], files: readonly RawFile[]): Estate {
  const byKind = new Map<string, KubeObject[]>();
  const byName = new Map<string, KubeObject>();
  const byPlace = new Map<string, KubeObject[]>();
  const byLabel = new Map<string, KubeObject[]>();
  for (const object of objects) {
    add(byKind, object.kind, object);
    add(byPlace, key(object.kind, object.namespace), object);
    if (WORKLOADS.includes(object.kind))
      for (const [name, value] of Object.entries(podLabels(object)))
        add(byLabel, key(object.namespace, name, value), object);
    for (const group of ['*', object.group]) {
      const name = key(object.kind, object.namespace, object.name, group);
      if (!byName.has(name)) byName.set(name, object);
    }
  }
  const inNamespace = (kind: string, namespace: string | undefined) => byPlace.get(key(kind, namespace)) ?? [];
  return {
    objects,
    files,
    all: (kind, group) => (byKind.get(kind) ?? []).filter((one) => group === undefined || one.group === group),
    find: (kind, namespace, name, group = '*') => byName.get(key(kind, namespace, name, group)),
    workloads: (namespace, selector) => {
      const [first] = Object.entries(selector);
      if (first === undefined) return [];
      return (byLabel.get(key(namespace, ...first)) ?? []).filter((one) => hasAll(podLabels(one), selector));
    },
    inNamespace,
  };
}

function key(...parts: readonly (string | undefined)[]): string {
  return parts.map((part) => part ?? '').join('\0');
}

function add<T>(map: Map<string, T[]>, at: string, one: T): void {
  const there = map.get(at);
  if (there) there.push(one);
  else map.set(at, [one]);
}

const labelsOf = new WeakMap<KubeObject, Labels>();
/** Of the pods that a workload makes. */
export function podLabels(object: KubeObject): Labels {
  const known = labelsOf.get(object);
  if (known) return known;
  const { kind, labels, value } = object;
  const own = kind === 'Pod' ? labels : textsAt(value, 'spec', 'template', 'metadata', 'labels');
  labelsOf.set(object, own);
  return own;
}

/** Where the pod's own fields are in a workload. */
export function podSpecPath({ kind }: KubeObject): readonly string[] {
  return kind === 'Pod' ? ['spec'] : ['spec', 'template', 'spec'];
}

export function hasAll(labels: Labels, wanted: Labels): boolean {
  // Asked millions of times where thousands of objects are in one namespace.
  for (const name in wanted) if (labels[name] !== wanted[name]) return false;
  return true;
}

const selectors = new WeakMap<KubeObject, Labels>();
export function selectorOf(service: KubeObject): Labels {
  const known = selectors.get(service);
  if (known) return known;
  const own = textsAt(service.value, 'spec', 'selector');
  selectors.set(service, own);
  return own;
}

/** `http://name.namespace.svc.cluster.local:4180/path` and its short forms: the Service that is meant. */
export function serviceOfUrl(estate: Estate, url: string, namespace: string | undefined): KubeObject | undefined {
  const host = hostOfUrl(url);
  const [name = '', second, third] = host?.split('.') ?? [];
  if (host === undefined || name === '') return undefined;
  if (second === undefined) return estate.find('Service', namespace, name);
  if (third !== undefined && third !== 'svc') return undefined;
  // Charts leave namespaces to whoever installs them.
  return estate.find('Service', second, name) ?? estate.find('Service', undefined, name);
}

/** What stands before the first colon or slash; a scheme is not needed. */
export function hostOfUrl(url: string): string | undefined {
  const [, host] = /^(?:[a-z][a-z0-9+.-]*:\/\/)?(?:[^/@]*@)?([A-Za-z0-9._-]+)/i.exec(url) ?? [];
  return host?.toLowerCase();
}

export function annotationOf(object: KubeObject, ...names: readonly string[]): string | undefined {
  for (const name of names) if (object.annotations[name] !== undefined) return object.annotations[name];
  return undefined;
}

export function isService(object: KubeObject, type: string): boolean {
  return textAt(object.value, 'spec', 'type') === type;
}
