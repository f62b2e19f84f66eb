// `curfew-broker keys revoke`: takes signing keys back at once, and waits until no API server takes what they signed.

import { setTimeout as sleep } from 'node:timers/promises';
import { CurfewError, EXIT } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { type Taken, takesToken } from '../api_servers/probe.ts';
import { AUTHENTICATOR_CACHE } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
import { keysOf } from '../tokens/key_rotation.ts';
import { readKeys, replaceKeys, type SigningKey } from '../tokens/keys.ts';
import { probeToken } from '../tokens/probe_token.ts';
import { administer, requireTime } from './administration.ts';
import type { Around } from './keys.ts';

export interface Done {
  readonly lines: readonly string[];
  readonly exit: number;
}

/** Which keys, by their ids, or all. */
export type Which = { readonly kids: readonly string[] } | { readonly all: true };

export interface RevokeParts extends Around {
  /** What is waited for. */
  readonly say: (line: string) => void;
  /** Milliseconds, by a clock that is never set. */
  readonly elapsed: () => number;
  readonly takes?: typeof takesToken;
  /** How long an API server may still take a token that it has taken before, in milliseconds. */
  readonly kept_ms?: number;
}

/** How long API servers have, in milliseconds: each keeps what it has read of the keys for a minute, and asks again then. */
const DEADLINE_MS = 150_000;
const PAUSE_MS = 2_000;
/** Seconds for which a probe by the new key is good, and one by a revoked key. */
const PROBE = seconds(30);
const OLD_PROBE = seconds(180);

/**
 * Revokes keys at once, and waits until every API server has read the new one: until then it takes what the revoked ones signed.
 *
 * @returns exit 75 where one of them was not seen to
 * @throws CurfewError `usage` where there is no key of an id: then nothing was done
 */
export async function revokeKeys(config: Config, which: Which, parts: RevokeParts): Promise<Done> {
  const { now, by, note } = parts;
  const keys = keysOf(config);
  const { revoked, signing } = await administer(config, async (store) => {
    await requireTime(store, now());
    return store.transaction(async (transaction) => {
      await transaction.holdAll();
      const at = now();
      const before = await readKeys(transaction.db, keys.encryption, now);
      const published = before.jwks.keys.map(({ kid }) => kid);
      const kids = 'all' in which ? published : [...new Set(which.kids)];
      requireKnown(kids, published);
      const made = await replaceKeys(transaction, keys, at, kids);
      await transaction.audit({ event: 'keys', at, change: 'revoked', kids, by, note });
      await transaction.audit({ event: 'keys', at, change: 'added', kids: [made], sign_from: at, by, note });
      const after = await readKeys(transaction.db, keys.encryption, now);
      return {
        signing: after.signing,
        revoked: kids.map((kid) => before.signer(kid)).filter((key) => key !== undefined),
      };
    });
  });
  const head = `ok: revoked ${revoked.map(({ kid }) => kid).join(', ')}; ${signing.kid} signs from now on`;
  const confirmed = await confirmAll(config, { signing, revoked }, parts);
  return {
    lines: [head, ...confirmed.map(({ line }) => line)],
    exit: confirmed.every(({ sure }) => sure) ? EXIT.done : EXIT.try_again,
  };
}

function requireKnown(kids: readonly string[], published: readonly string[]): void {
  const unknown = kids.find((kid) => !published.includes(kid));
  if (unknown === undefined) return;
  throw new CurfewError('usage', `there is no signing key ${JSON.stringify(unknown)}: nothing was done`, {
    hint: 'see curfew-broker keys list',
  });
}

interface Change {
  readonly signing: SigningKey;
  readonly revoked: readonly SigningKey[];
}

interface Confirmed {
  readonly line: string;
  readonly sure: boolean;
}

async function confirmAll(config: Config, change: Change, parts: RevokeParts): Promise<readonly Confirmed[]> {
  const asked = config.clusters.filter(({ credential }) => credential === 'token');
  const each = asked.flatMap((cluster) => {
    if (cluster.webhook?.authentication) return [Promise.resolve(byReview(cluster))];
    const servers = cluster.api_servers ?? [cluster.server];
    return servers.map((server) => confirm(config, cluster, server, change, parts));
  });
  if (each.length > 0) parts.say('waiting for the API servers to read the keys again: up to 2m30s');
  return Promise.all(each);
}

/** It has no keys of ours: the broker judges each token. */
function byReview({ name }: Cluster): Confirmed {
  const line = `ok: cluster ${name}: asks the broker about each token, and may keep an answer for 2m`;
  return { line, sure: true };
}

async function confirm(
  config: Config,
  cluster: Cluster,
  server: string,
  { signing, revoked }: Change,
  { now, elapsed, takes = takesToken, kept_ms = AUTHENTICATOR_CACHE * 1000 }: RevokeParts,
): Promise<Confirmed> {
  const at = `cluster ${cluster.name}: ${server}`;
  const old = revoked.map((key) => probeToken(config, cluster, key, now(), OLD_PROBE));
  const end = elapsed() + DEADLINE_MS;
  for (;;) {
    // A new one each time: an API server remembers for a while what it refused.
    const fresh = probeToken(config, cluster, signing, now(), PROBE);
    const answers = await Promise.all([fresh, ...old].map((token) => takes(server, cluster.ca, token)));
    const state = stateOf(answers);
    if (state === 'done') {
      await sleep(kept_ms);
      return { line: `ok: ${at} takes no token of the revoked keys`, sure: true };
    }
    if (elapsed() + PAUSE_MS > end) return { line: `warning: ${at} ${state}: ${WAY_OUT}`, sure: false };
    await sleep(PAUSE_MS);
  }
}

const WAY_OUT = 'what the revoked keys signed may be taken there: restart it, or shut it off';

function stateOf([fresh, ...old]: readonly Taken[]): string {
  const away = [fresh, ...old].find((answer) => answer !== undefined && 'away' in answer);
  if (away && 'away' in away) return away.away;
  if (old.some((answer) => 'taken' in answer && answer.taken)) return 'still takes tokens of the revoked keys';
  if (fresh && 'taken' in fresh && !fresh.taken) return 'does not take tokens of the new key either';
  return 'done';
}
