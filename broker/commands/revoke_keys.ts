// `curfew-broker keys revoke`: takes signing keys back at once, and waits until no API server takes what they signed.

import { setTimeout as sleep } from 'node:timers/promises';
import { CurfewError, EXIT } from '../../shared/errors.ts';
import { type Seconds, seconds } from '../../shared/time.ts';
import { type Taken, takesToken } from '../api_servers/probe.ts';
import { AUTHENTICATOR_CACHE } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
import type { TargetGateway, TargetSettings } from '../config/target_settings.ts';
import { keysOf } from '../tokens/key_rotation.ts';
import { readKeys, replaceKeys, type SigningKey } from '../tokens/keys.ts';
import { probeToken } from '../tokens/probe_token.ts';
import { administer, requireTime } from './administration.ts';
import { takesTargetToken, targetProbe } from './gateway_probe.ts';
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
  readonly takes_at_gateway?: typeof takesTargetToken;
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
    return servers.map((server) => confirm(placeOf(config, cluster, server, parts), change, parts));
  });
  const { target_gateway, targets } = config;
  const [target] = targets;
  if (target_gateway && target) each.push(confirm(gatewayPlace(config, target_gateway, target, parts), change, parts));
  if (each.length > 0) parts.say('waiting for the API servers to read the keys again: up to 2m30s');
  return Promise.all(each);
}

/** It has no keys of ours: the broker judges each token. */
function byReview({ name }: Cluster): Confirmed {
  const line = `ok: cluster ${name}: asks the broker about each token, and may keep an answer for 2m`;
  return { line, sure: true };
}

/** Where tokens are taken. */
interface Place {
  readonly at: string;
  /** @param length seconds for which it is good */
  readonly tokenBy: (key: SigningKey, length: Seconds) => string;
  readonly takes: (token: string) => Promise<Taken>;
  /** For how long it may still take what it has taken before, in milliseconds. */
  readonly kept_ms: number;
  readonly done: string;
  readonly way_out: string;
}

function placeOf(config: Config, cluster: Cluster, server: string, parts: RevokeParts): Place {
  const { now, takes = takesToken, kept_ms = AUTHENTICATOR_CACHE * 1000 } = parts;
  return {
    ...{ at: `cluster ${cluster.name}: ${server}`, kept_ms },
    tokenBy: (key, length) => probeToken(config, cluster, key, now(), length),
    takes: (token) => takes(server, cluster.ca, token),
    done: 'takes no token of the revoked keys',
    way_out: 'what the revoked keys signed may be taken there: restart it, or shut it off',
  };
}

/** Whoever heard that a key is revoked has closed what its tokens opened. */
function gatewayPlace(config: Config, gateway: TargetGateway, target: TargetSettings, parts: RevokeParts): Place {
  const { now, takes_at_gateway = takesTargetToken } = parts;
  return {
    ...{ at: `gateway of targets: ${gateway.url}`, kept_ms: 0 },
    tokenBy: (key, length) => targetProbe(config, target, key, now(), length),
    takes: (token) => takes_at_gateway(gateway, target, token),
    done: 'takes no token of the revoked keys, and has closed what they opened',
    way_out: 'what tokens of the revoked keys opened there may be open, and nothing more is opened by them: restart it',
  };
}

async function confirm(place: Place, { signing, revoked }: Change, { elapsed }: RevokeParts): Promise<Confirmed> {
  const { at, tokenBy, takes, kept_ms, done, way_out } = place;
  const old = revoked.map((key) => tokenBy(key, OLD_PROBE));
  const end = elapsed() + DEADLINE_MS;
  for (;;) {
    // A new one each time: an API server remembers for a while what it refused.
    const answers = await Promise.all([tokenBy(signing, PROBE), ...old].map((token) => takes(token)));
    const state = stateOf(answers);
    if (state === 'done') {
      await sleep(kept_ms);
      return { line: `ok: ${at} ${done}`, sure: true };
    }
    if (elapsed() + PAUSE_MS > end) return { line: `warning: ${at} ${state}: ${way_out}`, sure: false };
    await sleep(PAUSE_MS);
  }
}

function stateOf([fresh, ...old]: readonly Taken[]): string {
  const away = [fresh, ...old].find((answer) => answer !== undefined && 'away' in answer);
  if (away && 'away' in away) return away.away;
  if (old.some((answer) => 'taken' in answer && answer.taken)) return 'still takes tokens of the revoked keys';
  if (fresh && 'taken' in fresh && !fresh.taken) return 'does not take tokens of the new key either';
  return 'done';
}
