// `status`: who is logged in where, until when, and where secrets are kept. Works without network.

import { existsSync } from 'node:fs';
import { decide } from '../../shared/decide.ts';
import { sayDuration } from '../../shared/duration.ts';
import type { WholeLimits } from '../../shared/limits.ts';
import { sayDenial } from '../../shared/messages.ts';
import type { Credential } from '../../shared/metadata.ts';
import type { ResolvedLimits } from '../../shared/policy.ts';
import type { MetadataTarget } from '../../shared/targets.ts';
import { between, plus, type Seconds } from '../../shared/time.ts';
import { factsOf, type WireSession } from '../../shared/wire.ts';
import { readConfig } from '../host/config.ts';
import type { Host } from '../host/host.ts';
import { readKubeconfig } from '../kubeconfig/kubeconfig.ts';
import { hasKeychain } from '../secrets/keychain.ts';
import { rememberedFault } from '../secrets/probe.ts';
import { fileOf } from '../secrets/secrets.ts';
import { createClient } from '../session/client.ts';
import { sayWithin } from '../session/end_effect.ts';
import { knownTargets, rememberTargets } from '../session/known_targets.ts';
import { listRecords } from '../session/record.ts';
import { sayInstant } from '../warm/instant.ts';
import type { OwnFiles } from '../warm/machine.ts';
import { oneLine } from '../warm/one_line.ts';
import { sayPrompt } from '../warm/prompt.ts';
import type { Place, SessionRecord } from '../warm/session_record.ts';
import { type Strikes, strikesOf } from '../warm/strikes.ts';

/** The limits of clusters are worth asking for, but not worth waiting for. */
const DEADLINE_MS = 2_000;

interface ClusterStatus {
  readonly name: string;
  readonly allowed: boolean;
  readonly reason?: string;
  readonly message?: string;
  readonly limits: WholeLimits;
  /** When each strikes, as instants of this machine's clock. */
  readonly strikes: Strikes;
  /** What the broker alone knows: absent when it was not reached. */
  readonly credential?: Credential | undefined;
  /** Seconds until the end of a session takes effect there, at most. */
  readonly end_within?: Seconds | undefined;
}

/** The account is decided with each connection. */
interface TargetStatus extends Omit<ClusterStatus, 'credential' | 'end_within'> {
  readonly kind: string;
}

interface BrokerStatus {
  readonly broker: string;
  readonly default: boolean;
  readonly logged_in: boolean;
  readonly ended?: { readonly reason: string; readonly message: string };
  readonly session?: {
    readonly sid: string;
    readonly username: string;
    readonly groups: readonly string[];
    /** By the IdP's clock. */
    readonly auth_time: Seconds;
    /** The same by this machine's. */
    readonly logged_in_at: Seconds;
    readonly acr?: string;
  };
  /** `why` it is not a keychain. */
  readonly secrets?: { readonly kept_in: Place; readonly file?: string; readonly why?: string };
  readonly clusters: readonly ClusterStatus[];
  readonly targets: readonly TargetStatus[];
}

export interface StatusOptions {
  readonly output?: string;
  readonly prompt?: boolean;
}

export async function statusCommand(host: Host, { output, prompt }: StatusOptions): Promise<void> {
  const config = readConfig(host);
  if (prompt) return sayPromptInFull(host);
  const records = listRecords(host);
  const urls = [...new Set([...Object.keys(config.brokers), ...records.map((record) => record.broker)])];
  const statuses = await Promise.all(
    urls.map((url) =>
      statusOf(
        host,
        url,
        url === config.default,
        records.find((record) => record.broker === url),
      ),
    ),
  );
  if (output === 'json') host.print(`${JSON.stringify({ now: host.now(), brokers: statuses }, null, 2)}\n`);
  else if (statuses.length === 0) host.print('no broker is set up: kubectl curfew setup --broker URL\n');
  else host.print(`${statuses.map((status) => say(status, host.now())).join('\n\n')}\n`);
}

/** What the warm path could not read: with all of YAML. What cannot be read at all is nothing for a prompt. */
function sayPromptInFull(host: OwnFiles & Pick<Host, 'now' | 'platform' | 'print' | 'terminal'>): void {
  const system = host.platform === 'win32' ? 'windows' : 'posix';
  try {
    const asked = { args: [], now: host.now(), terminal: host.terminal(), caller: () => undefined };
    const machine = { ...host, ...asked, system, runtime: '' } as const;
    host.print(sayPrompt(machine, (file) => readKubeconfig(file).value));
  } catch {
    // Nothing.
  }
}

async function statusOf(host: Host, url: string, is_default: boolean, record?: SessionRecord): Promise<BrokerStatus> {
  const common = { broker: url, default: is_default };
  if (!record?.session) return { ...common, logged_in: false, clusters: [], targets: [] };
  const { session, ended, minted_local, not_admitted } = record;
  const { sid, username, groups, auth_time, acr } = session;
  const view = { session, minted_local, not_admitted };
  const known = await knownOf(host, url);
  const clusters = known.clusters.map((one) => judgeCluster(view, one, host.now()));
  const targets = known.targets.map(({ kind, ...one }) => {
    const { credential: _, end_within: __, ...judged } = judgeCluster(view, one, host.now());
    return { ...judged, kind };
  });
  return {
    ...common,
    logged_in: ended === undefined,
    ...(ended && { ended: { reason: ended.reason, message: ended.message } }),
    session: {
      sid,
      username,
      groups,
      auth_time,
      logged_in_at: between(between(auth_time, session.broker_time), minted_local),
      ...(acr !== undefined && { acr }),
    },
    ...placeOf(host, record),
    ...{ clusters, targets },
  };
}

function placeOf(
  host: OwnFiles & Pick<Host, 'now' | 'platform'>,
  { broker, kept_in }: SessionRecord,
): Pick<BrokerStatus, 'secrets'> {
  const file = fileOf(host, kept_in, broker);
  const why = kept_in === 'file' ? whyNoKeychain(host) : undefined;
  return { secrets: { kept_in, ...(file !== undefined && { file }), ...(why !== undefined && { why }) } };
}

function whyNoKeychain(host: OwnFiles & Pick<Host, 'now' | 'platform'>): string | undefined {
  if (readConfig(host).secret_storage !== undefined) return undefined;
  return hasKeychain(host, existsSync) ? rememberedFault(host) : 'there is no keychain';
}

function saySecrets({ kept_in, file, why }: NonNullable<BrokerStatus['secrets']>): string {
  switch (kept_in) {
    case 'keychain':
      return 'in the keychain';
    case 'file':
      return `in the file ${file}${why === undefined ? '' : `: ${why}`}`;
    case 'memory':
      return `until the login session ends, in the file ${file}`;
  }
}

interface Known {
  readonly name: string;
  readonly limits: ResolvedLimits;
  /** By the broker's clock, as far as this machine knows. */
  readonly last_used?: Seconds | undefined;
  readonly credential?: Credential | undefined;
  readonly end_within?: Seconds | undefined;
}

interface KnownAll {
  readonly clusters: readonly Known[];
  readonly targets: readonly (Known & { readonly kind: string })[];
}

/** From the broker when it answers at once, else from what the cache holds. */
async function knownOf(host: Host, url: string): Promise<KnownAll> {
  const client = createClient(host, url);
  const entries = client.cache.list(url);
  const used = entries.flatMap(({ session, token }) => (session && token !== undefined ? [session.broker_time] : []));
  const last_used = used.length === 0 ? undefined : (Math.max(...used) as Seconds);
  const targetsOf = (list: readonly MetadataTarget[] = []) =>
    list.map(({ name, kind, limits }) => ({ name, kind, limits, last_used }));
  try {
    const metadata = await client.broker.metadata(DEADLINE_MS);
    rememberTargets(client, metadata);
    const clusters = metadata.clusters.map(({ name, limits, credential, end_within }) => {
      return { name, limits, last_used, credential, end_within };
    });
    return { clusters, targets: targetsOf(metadata.targets) };
  } catch {
    const known = new Map(
      entries.flatMap(({ cluster, session }) => (session ? [[cluster, session.limits] as const] : [])),
    );
    const clusters = [...known].map(([name, limits]) => ({ name, limits, last_used }));
    return { clusters, targets: targetsOf(knownTargets(client)?.targets) };
  }
}

interface View {
  readonly session: WireSession;
  readonly minted_local: Seconds;
  readonly not_admitted?: readonly string[] | undefined;
}

/** What no login changes is said before all else. */
const NOT_ADMITTED = {
  allowed: false,
  reason: 'invalid_target',
  message: 'not admitted: ask an administrator',
} as const;

function judgeCluster(
  { session, minted_local, not_admitted }: View,
  { name, limits, last_used: used, credential, end_within }: Known,
  now: Seconds,
): ClusterStatus {
  const last_used = used === undefined || used < session.broker_time ? session.broker_time : used;
  const broker_now = plus(session.broker_time, between(minted_local, now));
  const verdict = decide(limits, { ...factsOf(session), last_used }, broker_now);
  const strikes = strikesOf(session, limits.target, last_used, minted_local);
  const common = { name, limits: limits.target, strikes, credential, end_within };
  if (not_admitted?.includes(name)) return { ...common, ...NOT_ADMITTED };
  if (verdict.allow) return { ...common, allowed: true };
  return { ...common, allowed: false, reason: verdict.reason, message: sayDenial(verdict) };
}

function say(status: BrokerStatus, now: Seconds): string {
  const lines = [`broker   ${status.broker}${status.default ? ' (default)' : ''}`];
  const { session, ended, secrets } = status;
  if (!session) lines.push('login    not logged in');
  else {
    const groups = session.groups.length === 0 ? '' : `, groups ${session.groups.join(' ')}`;
    lines.push(`person   ${oneLine(session.username)}${oneLine(groups)}`);
    const since = `${sayInstant(session.logged_in_at, now)} (${sayDuration(between(session.logged_in_at, now))} ago)`;
    lines.push(`login    ${since}, ${ended ? oneLine(ended.message) : `session ${session.sid}`}`);
  }
  if (secrets) lines.push(`secrets  ${saySecrets(secrets)}`);
  for (const cluster of status.clusters) {
    const [first = '', ...more] = ended ? ['login required'] : sayCluster(cluster, now);
    lines.push(`cluster  ${cluster.name}: ${first}`, ...more.map((line) => `${' '.repeat(11)}${line}`));
  }
  for (const target of status.targets) {
    const [first = '', ...more] = ended ? ['login required'] : sayCluster(target, now);
    const name = oneLine(`${target.name} (${target.kind})`);
    lines.push(`target   ${name}: ${first}`, ...more.map((line) => `${' '.repeat(11)}${line}`));
  }
  return lines.join('\n');
}

/** One line for each thing to know. */
function sayCluster(cluster: ClusterStatus, now: Seconds): readonly string[] {
  const { allowed, reason, message, credential, end_within } = cluster;
  // What the identity provider says is not known yet: it is asked when a token is needed.
  const plain = reason === 'revalidation_due' || reason === NOT_ADMITTED.reason;
  const denied = plain ? (message ?? '') : `refused: ${message}`;
  return [
    ...(allowed ? ['ready', ...sayStrikes(cluster, now)] : [denied]),
    ...(credential === 'service-account' ? ['acts as a service account of the cluster'] : []),
    ...(end_within === undefined ? [] : [`an end takes effect ${sayWithin(end_within)}`]),
  ];
}

function sayStrikes({ strikes, limits }: ClusterStatus, now: Seconds): readonly string[] {
  const at = (instant: Seconds) => `${sayInstant(instant, now)} (in ${sayDuration(between(now, instant))})`;
  const { revalidate } = strikes;
  return [
    `max_age ${sayDuration(limits.max_age)}: until ${at(strikes.max_age)}`,
    `inactivity_timeout ${sayDuration(limits.inactivity_timeout)}: until ${at(strikes.inactivity_timeout)}`,
    ...(revalidate === undefined ? [] : [`the identity provider confirms again by ${at(revalidate)}`]),
  ];
}
