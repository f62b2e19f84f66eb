// One login: the person at the IdP, the exchange at the broker, and what is kept of it. The browser's page tells the
// truth, so it comes last.

import { setTimeout as pause } from 'node:timers/promises';
import { CurfewError } from '../../shared/errors.ts';
import type { MetadataCluster } from '../../shared/metadata.ts';
import { earliest, type Seconds, seconds } from '../../shared/time.ts';
import type { WireSession } from '../../shared/wire.ts';
import { withLock } from '../host/lock.ts';
import { type Client, findCluster } from '../session/client.ts';
import { readRecord, strayRecord } from '../session/record.ts';
import {
  isOffline,
  type RefreshToken,
  refreshTokenOf,
  revokeRefreshToken,
  shareSession,
} from '../session/refresh_token.ts';
import { asRemembered, RENEWING } from '../session/renew.ts';
import { requireIdentityProvider } from '../session/trust.ts';
import type { Entry, Remembered } from '../warm/entry.ts';
import type { Place } from '../warm/session_record.ts';
import { sayUntil } from '../warm/strikes.ts';
import { commit, generateKey, type PrivateJwk } from '../wire/dpop.ts';
import { discover } from '../wire/identity_provider.ts';
import { LOGIN_PATIENCE_MS, Patience, sendPatiently } from '../wire/patience.ts';
import { AGE_REASONS, type Attempt, type Scene } from './attempt.ts';
import { blame, sayWhatIsMissing } from './blame.ts';
import { LOOK_AT_TERMINAL, sentence } from './browser.ts';
import { type Done, keep } from './keep.ts';
import { openWay } from './open_way.ts';
import type { Brought, Wish } from './way.ts';

export type LoginOutcome =
  | {
      readonly session: WireSession;
      readonly until: string;
      /** Absent without a cluster, and when the cluster gave no token for the session that is open now. */
      readonly entry?: Entry | undefined;
      readonly refused?: undefined;
    }
  | {
      readonly refused: Remembered;
      readonly session?: undefined;
      readonly until?: undefined;
      readonly entry?: undefined;
    };

/** @throws CurfewError `login_failed`, `identity_provider`, `broker_unreachable`, `invalid_target`, `busy`, `insecure` */
export async function login(client: Client, wish: Wish, signal: AbortSignal): Promise<LoginOutcome> {
  // By the same key the new login replaces the session of before, wherever that was kept.
  const before = readRecord(client.host, client.url) ?? strayRecord(client.host, client.url);
  const [metadata, key] = await Promise.all([client.broker.metadata(), loadKey(client, before?.kept_in)]);
  requireIdentityProvider(client, metadata);
  const cluster = wish.cluster === undefined ? undefined : findCluster(metadata.clusters, wish.cluster);
  const patience = new Patience(LOGIN_PATIENCE_MS, client.host);
  const send = sendPatiently(client.send, patience, () => LOGIN_PATIENCE_MS);
  const provider = await discover(metadata.identity_provider, send);
  await using way = await openWay(client, metadata, provider, wish);
  const scene = { client, metadata, cluster, key, signal };

  let attempt: Attempt = { way, wish, acr_values: wish.acr_values ?? acrOf(cluster, wish)?.join(' ') };
  for (;;) {
    const tried = await attemptLogin(scene, attempt);
    const next = tried.refused && remedy(attempt, tried.refused);
    if (!next) return await conclude(scene, attempt, tried);
    const how =
      next.way === attempt.way ? 'once more' : 'once more, with a browser, where a new login can be asked for';
    client.host.say(`${tried.refused.message}: ${how}`);
    if (next.waited && !attempt.waited) await outlast(tried.refused);
    attempt = next;
  }
}

/** No longer than clocks may differ. */
const LONGEST_OUTLAST = seconds(62);

function outlast({ retry_after = seconds(0) }: Remembered): Promise<void> {
  return pause(earliest(retry_after, LONGEST_OUTLAST) * 1000);
}

type Tried =
  | { readonly brought: Brought; readonly done: Done; readonly refused?: undefined }
  | { readonly brought: Brought; readonly refused: Remembered };

async function loadKey(
  client: Pick<Client, 'host' | 'secrets' | 'url'>,
  kept_in: Place | undefined,
): Promise<PrivateJwk> {
  const secret = kept_in && (await client.secrets.load(client.url, kept_in));
  if (typeof secret === 'string') client.host.say(`${secret}; making a new key`);
  return typeof secret === 'object' ? secret.dpop_private_jwk : generateKey();
}

async function attemptLogin(scene: Scene, { way, wish, acr_values }: Attempt): Promise<Tried> {
  const { client, key, metadata, cluster } = scene;
  const nonce_random = client.host.random(32).toString('base64url');
  const ask = {
    nonce: commit(key, nonce_random),
    max_age: longestAge(scene, wish),
    acr_values,
    prompt: wish.in_person ? ('login' as const) : undefined,
  };
  const brought = await way.bring(ask, scene.signal);
  const { id_token } = brought;
  const refresh = refreshTokenOf(metadata.identity_provider, brought);
  try {
    const { client_id } = metadata.identity_provider;
    const exchange = {
      id_token,
      nonce_random,
      client_id,
      audience: cluster?.audience,
      max_age: cluster && wish.max_age,
    };
    // Not while a renewal is under way: the exchange makes the old handle void.
    const tried = await withLock(client.host, [client.url, 'renew'], RENEWING, async () => {
      const answer = await client.broker.exchange(metadata, key, exchange);
      return answer.reply ? await keep(scene, wish, answer, refresh) : asRemembered(answer.refusal);
    });
    if (!('session' in tried)) {
      await revokeUnkept(scene, refresh);
      return { brought, refused: tried };
    }
    return { brought, done: tried };
  } catch (error) {
    await revokeUnkept(scene, refresh);
    const message = error instanceof CurfewError ? error.message : 'something unexpected happened';
    await brought.tell(400, 'Not logged in', [sentence(message), LOOK_AT_TERMINAL]);
    throw error;
  }
}

/** Of a login that opened no session: what its refresh token is part of may be the kept one's as well. */
async function revokeUnkept({ client, metadata }: Scene, refresh: RefreshToken | undefined): Promise<void> {
  if (!refresh || !isOffline(metadata.identity_provider)) return;
  const record = readRecord(client.host, client.url);
  const kept = record && (await client.secrets.load(client.url, record.kept_in));
  if (typeof kept === 'object' && shareSession(refresh, kept.refresh)) return;
  await revokeRefreshToken(client, refresh);
}

/** The `acr` values that the cluster requires; what nothing satisfies is asked of nobody. */
function acrOf(cluster: MetadataCluster | undefined, { strictest }: Wish): readonly string[] | undefined {
  const levels = [strictest ? cluster?.strictest.acr : undefined, cluster?.limits.target.acr];
  return levels.find((acr) => acr !== undefined && acr.length > 0);
}

/** What is asked of the IdP: the smallest age that applies. */
function longestAge({ metadata, cluster }: Scene, { max_age }: Wish): Seconds {
  const limit = cluster?.limits.target.max_age ?? metadata.limits.max_age;
  return max_age === undefined ? limit : earliest(limit, max_age);
}

/**
 * Each remedy once: coming in person where the age of the login was refused, a stronger login where its `acr` was, and for
 * both a way by which the identity provider can be asked for it.
 */
function remedy(attempt: Attempt, refused: Remembered): Attempt | undefined {
  const { wish, acr_values } = attempt;
  const [asks, way] = [attempt.way.can_ask_again, attempt.way.instead ?? attempt.way];
  if (AGE_REASONS.includes(refused.reason)) {
    // The session ended in this very second, by the clock of the identity provider: no login can be newer yet.
    const early = refused.retry_after !== undefined && !attempt.waited;
    if (asks ? wish.in_person && !early : way === attempt.way) return undefined;
    return { way, acr_values, wish: { ...wish, in_person: true }, ...((early || attempt.waited) && { waited: true }) };
  }
  if (refused.reason !== 'acr_too_low') return undefined;
  if (way !== attempt.way) return { way, wish, acr_values: acr_values ?? refused.acr_values };
  return acr_values === undefined && refused.acr_values ? { way, wish, acr_values: refused.acr_values } : undefined;
}

async function conclude({ client, cluster }: Scene, attempt: Attempt, tried: Tried): Promise<LoginOutcome> {
  const { tell } = tried.brought;
  if (tried.refused) {
    const refused = blame(tried.refused, attempt);
    await tell(403, 'Not logged in', [sentence(refused.message), LOOK_AT_TERMINAL]);
    return { refused };
  }
  const { session, asked_at, entry } = tried.done;
  sayWhatIsMissing(client, attempt, cluster, session);
  const until = sayUntil(session, asked_at);
  const what = cluster ? `for the cluster ${cluster.name}, ` : '';
  const lines = [
    `${session.username} is logged in ${what}${until}.`,
    'You can close this page and go back to the terminal.',
  ];
  await tell(200, 'Logged in', lines);
  for (const token of tried.done.replaced) await revokeRefreshToken(client, token);
  return { session, until, entry };
}
