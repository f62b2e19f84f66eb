// A token from the active session: one process asks for all, and what the broker refuses for good is remembered.

import { CurfewError, isCode } from '../../shared/errors.ts';
import { memberOf } from '../../shared/json.ts';
import type { Seconds } from '../../shared/time.ts';
import { type Refusal, TOKEN_TYPE, type TokenReply } from '../../shared/wire.ts';
import { withLock } from '../host/lock.ts';
import type { Entry, Key, Remembered } from '../warm/entry.ts';
import { judge } from '../warm/judge.ts';
import { oneLine } from '../warm/one_line.ts';
import { asError } from '../warm/refusal.ts';
import { NOT_LOGGED_IN, refusedByRecord, type SessionRecord } from '../warm/session_record.ts';
import type { TokenAnswer } from '../wire/broker.ts';
import { type Asked, type Asking, askRevalidated } from './asking.ts';
import { type Client, findCluster } from './client.ts';
import { readRecord, writeRecord } from './record.ts';
import { dropRefresh, isDue, type Kept, noteAdmission, noteRevalidated } from './revalidation.ts';

export type RenewalOutcome =
  | { readonly entry: Entry; readonly refused?: undefined }
  | { readonly entry?: undefined; readonly refused: Remembered };

/** How long a call waits for another that asks the broker: that one's own deadline, and a little. */
export const RENEWING = {
  longest_ms: 10_000,
  say: 'waiting for another kubectl-curfew that asks the broker',
  busy: 'another kubectl-curfew is asking the broker for too long',
} as const;

/** What only a new login changes: asking again brings the same. */
export const FINAL: readonly string[] = [
  ...['session_ended', 'login_too_old', 'idle_too_long', 'revalidation_due', 'acr_too_low', 'unknown_session'],
];

/** What is so for every cluster. */
export const OVER_REASONS: readonly string[] = ['session_ended', 'unknown_session'];

/**
 * Renews by the session handle.
 *
 * @returns `refused` when only a login helps; without network where that is known already
 * @throws CurfewError for what a login does not change: broker out of reach, unknown cluster, not admitted
 */
export async function renew(client: Client, key: Key): Promise<RenewalOutcome> {
  const known = refusedByRecord(readRecord(client.host, client.url));
  if (known) return { refused: known };
  const remembered = () => outcomeInCache(client, key);
  return await withLock(client.host, [client.url, 'renew'], RENEWING, () => askUnlessKnown(client, key), remembered);
}

/** What the cache has by now; nothing when the broker has to be asked. */
export function outcomeInCache(client: Pick<Client, 'cache' | 'host'>, key: Key): RenewalOutcome | undefined {
  const entry = client.cache.read(key);
  const judgement = entry && judge(entry, client.host.now());
  if (entry && judgement?.act === 'print') return { entry };
  return judgement?.act === 'refuse' ? { refused: judgement.refused } : undefined;
}

async function askUnlessKnown(client: Client, key: Key): Promise<RenewalOutcome> {
  const known = outcomeInCache(client, key);
  if (known) return known;
  const record = readRecord(client.host, client.url);
  const refused = refusedByRecord(record);
  if (!record || refused) return { refused: refused ?? NOT_LOGGED_IN };
  const secret = await client.secrets.load(client.url, record.kept_in);
  if (typeof secret === 'string') return { refused: { reason: 'unknown_session', message: secret } };
  if (secret.handle === undefined) return { refused: NOT_LOGGED_IN };
  const due = isDue(client.cache.read(key), record, client.host.now());
  const asking: Asking<TokenReply> = (kept, id_token) => ask(client, key, kept, id_token);
  return await conclude(client, key, await askRevalidated(client, asking, { record, secret }, due));
}

/** Asks the broker for a token by the session handle, and for nothing else. */
export async function ask(
  client: Pick<Client, 'broker'>,
  key: Key,
  { record, secret }: Kept,
  id_token?: string,
): Promise<TokenAnswer> {
  const { handle = '' } = secret;
  const request = (audience: string) =>
    client.broker.renew(record.endpoints, secret.dpop_private_jwk, {
      handle,
      audience,
      max_age: key.max_age,
      id_token,
    });
  const known = memberOf(record.audiences, key.cluster);
  const answer = known === undefined ? undefined : await request(known);
  if (answer && answer.refusal?.reason !== 'invalid_target') return answer;
  // A cluster that is new, or has another audience now.
  const metadata = await client.broker.metadata();
  const { audience } = findCluster(metadata.clusters, key.cluster);
  return answer && audience === known ? answer : await request(audience);
}

async function conclude(
  client: Client,
  key: Key,
  { answer, kept, unvouched }: Asked<TokenReply>,
): Promise<RenewalOutcome> {
  if (answer.reply) return { entry: takeToken(client, key, answer, kept) };
  const refused = refusedBy(answer.refusal, unvouched);
  // There is such a cluster: the metadata has just said so.
  if (refused.reason === 'invalid_target') {
    noteAdmission(client, kept, [...new Set([...(kept.record.not_admitted ?? []), key.cluster])]);
  }
  if (!FINAL.includes(refused.reason)) throw asError(client, refused, key.cluster);
  client.cache.write({ ...key, minted_local: answer.asked_at, session: answer.refusal.session, refused });
  if (OVER_REASONS.includes(refused.reason)) keepEnd(client, (await dropRefresh(client, kept)).record, refused);
  return { refused };
}

/** @param unvouched why the identity provider's word is missing, where that is why */
export function refusedBy(refusal: Refusal, unvouched: string | undefined): Remembered {
  const told = asRemembered(refusal);
  if (unvouched === undefined) return told;
  return { ...told, message: `the identity provider no longer confirms the login: ${unvouched}` };
}

/** Remembers the token that the broker gave. @throws CurfewError `unavailable` when it gave none for this cluster */
export function takeToken(
  client: Pick<Client, 'cache' | 'host'>,
  key: Key,
  { reply, asked_at }: TokenAnswer & { readonly reply: TokenReply },
  kept: Kept,
): Entry {
  noteAdmission(client, noteRevalidated(client, kept, reply.session), reply.not_admitted);
  const entry = entryOf(key, reply, asked_at);
  if (!entry || entry.token === kept.secret.handle) {
    throw new CurfewError('unavailable', `the broker gave no token for the cluster ${key.cluster}`);
  }
  client.cache.write(entry);
  return entry;
}

/** @returns `undefined` when the reply has the session handle alone: that must never reach kubectl, nor the cache */
export function entryOf(key: Key, reply: TokenReply, minted_local: Seconds): Entry | undefined {
  const { access_token, issued_token_type, expires_in, refresh_token, session } = reply;
  if (issued_token_type === TOKEN_TYPE.refresh_token || access_token === refresh_token) return undefined;
  return { ...key, minted_local, session, token: access_token, expires_in };
}

/** @throws CurfewError `internal` when the reason is none that we know: a broker of a later version */
export function asRemembered({ reason, error_description, end_reason, acr_values, retry_after }: Refusal): Remembered {
  const message = oneLine(error_description);
  if (!isCode(reason)) throw new CurfewError('login_failed', message);
  const told = {
    ...(end_reason && { end_reason }),
    ...(acr_values && { acr_values }),
    ...(retry_after && { retry_after }),
  };
  return { reason, message, ...told };
}

/** Remembers that the session is over. */
export function keepEnd(client: Pick<Client, 'host'>, record: SessionRecord, ended: Remembered): void {
  try {
    writeRecord(client.host, { ...record, ended });
  } catch {
    // The cache entry remembers it as well; without either the broker is asked again.
  }
}
