// Which users of kubeconfigs can be replaced by sessions, and why others cannot. Decides; changes nothing.

import { isObject } from '../../shared/wire.ts';
import type { Entry } from './document.ts';
import type { Audited } from './files.ts';
import type { Finding } from './finding.ts';
import type { FindingName } from './names.ts';

/** What a session is instead of. */
const REPLACED: ReadonlySet<FindingName> = new Set<FindingName>([
  ...(['static_token', 'token_file', 'client_certificate', 'client_certificate_expired'] as const),
  ...(['cluster_admin_certificate', 'password', 'auth_provider', 'exec_secret', 'exec_relative_path'] as const),
  ...(['exec_by_name', 'exec_not_allowlisted', 'exec_writable'] as const),
]);

export interface Candidate {
  readonly file: string;
  readonly user: string;
  readonly names: readonly FindingName[];
  /** Of the contexts that lead to it. */
  readonly contexts: readonly string[];
  /** The one cluster of the broker that it is for; else why it is left as it is. */
  readonly cluster?: string;
  readonly why?: string;
}

/** @param clusters of the broker, by name, with their addresses */
export function candidates(
  { findings, inspected }: Audited,
  clusters: readonly { readonly name: string; readonly server: string }[],
): readonly Candidate[] {
  const contexts = firsts(inspected, 'contexts');
  const addresses = firsts(inspected, 'clusters');
  return [...inspected].flatMap(([file, { parts }]) =>
    (parts[0]?.entries ?? []).flatMap((entry): Candidate[] => {
      if (entry.list !== 'users') return [];
      // Another document of the file may have a user of that name.
      const own = findings.filter((one) => one.file === file && one.part === 0 && one.user === entry.name);
      const names = [...new Set(own.map(({ name }) => name).filter((name) => REPLACED.has(name)))];
      if (names.length === 0) return [];
      const leading = [...contexts.values()].filter(({ fields }) => fields.user === entry.name);
      const common = { file, user: entry.name, names, contexts: leading.map(({ name }) => name) };
      return [{ ...common, ...purpose(own, leading, addresses, clusters) }];
    }),
  );
}

/** Of several entries of one name kubectl takes the first. */
function firsts(inspected: Audited['inspected'], list: Entry['list']): ReadonlyMap<string, Entry> {
  const all = new Map<string, Entry>();
  for (const { parts } of inspected.values())
    for (const entry of parts[0]?.entries ?? [])
      if (entry.list === list && !all.has(entry.name)) all.set(entry.name, entry);
  return all;
}

function purpose(
  own: readonly Finding[],
  leading: readonly Entry[],
  addresses: ReadonlyMap<string, Entry>,
  clusters: readonly { readonly name: string; readonly server: string }[],
): Pick<Candidate, 'cluster' | 'why'> {
  if (own.some(({ machine }) => machine)) return { why: 'a machine uses it' };
  if (leading.length === 0) return { why: 'no context leads to it: kubectl config delete-user removes it' };
  const servers = new Set(leading.map(({ fields }) => serverOf(addresses.get(String(fields.cluster ?? '')))));
  const fitting = clusters.filter(({ server }) => servers.has(plain(server)));
  if (fitting.length === 0) return { why: 'the broker has no cluster at its address: see kubectl curfew setup' };
  if (servers.size > 1 || fitting.length > 1)
    return { why: 'it is used for several clusters: see kubectl curfew setup' };
  return { cluster: fitting[0]?.name as string };
}

function serverOf(cluster: Entry | undefined): string {
  return cluster && isObject(cluster.fields) ? plain(String(cluster.fields.server ?? '')) : '';
}

/** Without what `URL` takes for granted; what is no URL fits nothing. */
function plain(server: string): string {
  return URL.canParse(server) ? new URL(server).href.replace(/\/+$/, '') : '';
}
