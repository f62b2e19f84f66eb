// Which users of kubeconfigs can be replaced by sessions, and why others cannot. Decides; changes nothing.

import type { Entry } from './document.ts';
import type { Audited } from './files.ts';
import type { Finding } from './finding.ts';
import type { FindingName } from './names.ts';
import { besideKubeconfig, type World } from './world.ts';

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

/** What the broker says of one of its clusters. */
interface Target {
  readonly name: string;
  readonly server: string;
  /** PEM, base64; the system's roots where it is absent. */
  readonly certificate_authority_data?: string | undefined;
}

/** An entry, and the file that has it. */
interface Placed {
  readonly file: string;
  readonly entry: Entry;
}

/** @param clusters of the broker @param read of the files that cluster entries name */
export function candidates(
  { findings, inspected }: Audited,
  clusters: readonly Target[],
  read: World['read'],
): readonly Candidate[] {
  const contexts = firsts(inspected, 'contexts');
  const ways = firsts(inspected, 'clusters');
  return [...inspected].flatMap(([file, { parts }]) =>
    (parts[0]?.entries ?? []).flatMap((entry): Candidate[] => {
      if (entry.list !== 'users') return [];
      // Another document of the file may have a user of that name.
      const own = findings.filter((one) => one.file === file && one.part === 0 && one.user === entry.name);
      const names = [...new Set(own.map(({ name }) => name).filter((name) => REPLACED.has(name)))];
      if (names.length === 0) return [];
      const leading = [...contexts.values()].map((one) => one.entry).filter(({ fields }) => fields.user === entry.name);
      const common = { file, user: entry.name, names, contexts: leading.map(({ name }) => name) };
      const to = leading.map(({ fields }) => ways.get(String(fields.cluster ?? '')));
      return [{ ...common, ...purpose(own, to, clusters, read) }];
    }),
  );
}

/** Of several entries of one name kubectl takes the first. */
function firsts(inspected: Audited['inspected'], list: Entry['list']): ReadonlyMap<string, Placed> {
  const all = new Map<string, Placed>();
  for (const [file, { parts }] of inspected)
    for (const entry of parts[0]?.entries ?? [])
      if (entry.list === list && !all.has(entry.name)) all.set(entry.name, { file, entry });
  return all;
}

/** @param to the clusters of the contexts that lead to it */
function purpose(
  own: readonly Finding[],
  to: readonly (Placed | undefined)[],
  clusters: readonly Target[],
  read: World['read'],
): Pick<Candidate, 'cluster' | 'why'> {
  if (own.some(({ machine }) => machine)) return { why: 'a machine uses it' };
  if (to.length === 0) return { why: 'no context leads to it: kubectl config delete-user removes it' };
  const servers = new Set(to.map((way) => plain(String(way?.entry.fields.server ?? ''))));
  const fitting = clusters.filter(({ server }) => servers.has(plain(server)));
  const [target] = fitting;
  if (!target) return { why: 'the broker has no cluster at its address: see kubectl curfew setup' };
  if (servers.size > 1 || fitting.length > 1)
    return { why: 'it is used for several clusters: see kubectl curfew setup' };
  if (!to.every((way) => way && isSameWay(way, target, read)))
    return {
      why: 'its cluster is not verified as the broker says, so a session would go astray: see kubectl curfew setup',
    };
  return { cluster: target.name };
}

/** A session goes where the entry leads: it must be to whom the broker means, and nobody between. */
function isSameWay({ file, entry: { fields } }: Placed, target: Target, read: World['read']): boolean {
  if (fields['insecure-skip-tls-verify'] === true || fields['tls-server-name'] !== undefined) return false;
  const { 'certificate-authority-data': data, 'certificate-authority': path } = fields;
  const pem =
    typeof data === 'string' && data !== ''
      ? Buffer.from(data, 'base64').toString()
      : typeof path === 'string' && path !== ''
        ? (read(besideKubeconfig(file, path)).content ?? '')
        : undefined;
  const wanted = target.certificate_authority_data;
  if (pem === undefined || wanted === undefined) return pem === wanted;
  return pem.trim() === Buffer.from(wanted, 'base64').toString().trim();
}

/** Without what `URL` takes for granted; what is no URL fits nothing. */
function plain(server: string): string {
  return URL.canParse(server) ? new URL(server).href.replace(/\/+$/, '') : '';
}
