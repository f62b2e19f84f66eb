// What is kept of a login that opened a session: secrets, record, token, whom to trust. Nothing of an earlier one is left.

import { CurfewError } from '../../shared/errors.ts';
import type { Seconds } from '../../shared/time.ts';
import { TOKEN_TYPE, type TokenReply, type WireSession } from '../../shared/wire.ts';
import { codeOf } from '../host/error_code.ts';
import type { Secret } from '../secrets/secret.ts';
import type { Client } from '../session/client.ts';
import { rememberTargets } from '../session/known_targets.ts';
import { readRecord, removeRecord, removeStrayRecord, strayRecord, writeRecord } from '../session/record.ts';
import { isOffline, type RefreshToken, shareSession } from '../session/refresh_token.ts';
import { entryOf } from '../session/renew.ts';
import { rememberBroker } from '../session/trust.ts';
import type { Entry, Key } from '../warm/entry.ts';
import type { Place } from '../warm/session_record.ts';
import type { TokenAnswer } from '../wire/broker.ts';
import type { Scene } from './attempt.ts';
import type { Wish } from './way.ts';

export interface Done {
  readonly session: WireSession;
  readonly asked_at: Seconds;
  readonly entry: Entry | undefined;
  /** Refresh tokens that this login made useless. */
  readonly replaced: readonly RefreshToken[];
}

type OpenedSession = TokenAnswer & { readonly reply: TokenReply };

/** Nothing here can fail the login that succeeded. @throws CurfewError `login_failed` where the broker gave no session handle */
export async function keep(
  scene: Scene,
  wish: Wish,
  answer: OpenedSession,
  brought: RefreshToken | undefined,
): Promise<Done> {
  const { client, metadata, key, cluster } = scene;
  const { host, url, cache } = client;
  const { reply, asked_at } = answer;
  cache.forget(url);
  const before = readRecord(host, url)?.kept_in;
  // Where nothing wants the identity provider's word again, there is nothing to keep it for.
  const refresh = metadata.revalidates === true ? brought : undefined;
  const secret = { dpop_private_jwk: key, handle: handleOf(reply), ...(refresh && { refresh }) };
  const earlier = [await keptToken(client, before), await keptToken(client, strayRecord(host, url)?.kept_in)];
  const kept_in = await replaceSecrets(client, secret, before);
  if (kept_in) keepRecord(scene, answer, kept_in);
  rememberBroker(client, metadata);
  rememberTargets(client, metadata);
  const target: Key | undefined = cluster && { broker: url, cluster: cluster.name, max_age: wish.max_age };
  const entry = target && entryOf(target, reply, asked_at);
  if (entry) cache.write(entry);
  const unkept = refresh === undefined && isOffline(metadata.identity_provider) ? brought : undefined;
  const replaced = [...earlier, unkept].flatMap((token) => (token && !shareSession(token, refresh) ? [token] : []));
  return { session: reply.session, asked_at, entry, replaced };
}

/** As it is now: a renewal may have changed it while the person logged in. */
async function keptToken(
  { secrets, url }: Pick<Client, 'secrets' | 'url'>,
  place: Place | undefined,
): Promise<RefreshToken | undefined> {
  const secret = place && (await secrets.load(url, place));
  return typeof secret === 'object' ? secret.refresh : undefined;
}

function handleOf(reply: TokenReply): string {
  if (reply.refresh_token !== undefined) return reply.refresh_token;
  if (reply.issued_token_type === TOKEN_TYPE.refresh_token) return reply.access_token;
  throw new CurfewError('login_failed', 'the broker gave no session handle');
}

/** @returns where they are kept now; `undefined` where they could not be, and then nothing of the login before is left either */
async function replaceSecrets(
  { host, url, secrets }: Pick<Client, 'host' | 'secrets' | 'url'>,
  secret: Secret,
  before: Place | undefined,
): Promise<Place | undefined> {
  const kept_in = await secrets.save(url, secret, before);
  const stray = strayRecord(host, url);
  removeStrayRecord(host, url);
  if (stray && stray.kept_in !== kept_in) await secrets.erase(url, stray.kept_in);
  if (kept_in) return kept_in;
  if (before) await secrets.erase(url, before);
  removeRecord(host, url);
  return undefined;
}

function keepRecord({ client, metadata }: Scene, { reply, asked_at }: OpenedSession, kept_in: Place): void {
  const { host, url } = client;
  const { token_endpoint, revocation_endpoint, sessions_endpoint, clusters } = metadata;
  try {
    writeRecord(host, {
      broker: url,
      endpoints: { token_endpoint, revocation_endpoint, sessions_endpoint },
      audiences: Object.fromEntries(clusters.map(({ name, audience }) => [name, audience])),
      limits: Object.fromEntries(clusters.map(({ name, limits }) => [name, limits])),
      kept_in,
      session: reply.session,
      minted_local: asked_at,
      not_admitted: reply.not_admitted,
    });
  } catch (error) {
    host.say(`the login cannot be kept (${codeOf(error)})`);
  }
}
