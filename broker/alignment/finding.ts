// One thing that was found, and where. Shapes only.

import type { KubeObject, Place } from '../manifests/objects.ts';
import type { Path } from '../manifests/values.ts';
import type { FindingName } from './names.ts';

export interface Finding {
  readonly name: FindingName;
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** Such as `Ingress shop/web`; absent where the file itself is meant. */
  readonly object?: string | undefined;
  /** Of a host and path, where it is about these. */
  readonly route?: string | undefined;
  /** What was seen: lengths, names and words of ours. Never a secret, nor a value that may be one. */
  readonly detail: string;
}

/** Whoever has a place and a name that people know it by: an object, or a file of a proxy. */
export interface Subject {
  readonly place: Place;
  readonly title?: string | undefined;
}

/** Makes findings of one subject. */
export type Report = (name: FindingName, subject: Subject, path: Path, detail: string, route?: string) => void;

/** As people write it. */
export function titleOf({ kind, namespace, name }: KubeObject): string {
  return `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
}

export function subjectOf(object: KubeObject): Subject {
  return { place: object.place, title: titleOf(object) };
}
