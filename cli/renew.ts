// A token from the living session: one process asks for all, and what the broker refuses for good is remembered.

import { CurfewError, isCode } from '../shared/errors.ts';
import type { Seconds } from '../shared/time.ts';
import type { Refusal, TokenReply } from '../shared/wire.ts';
import type { Answer } from './broker.ts';
import type { Entry, Key, Remembered } from './cache/entry.ts';
import { asError, type Client, findCluster } from './client.ts';
import { oneLine } from './host.ts';
import { judge } from './judge.ts';
import { withLock } from './lock.ts';
import { readRecord, type SessionRecord, writeRecord } from './record.ts';
import type { Secret } from './secrets/secret.ts';

export type Outcome =
  | { readonly entry: Entry; readonly refused?: undefined }
  | { readonly entry?: undefined; readonly refused: Remembered };

/** How long a call waits for another that asks the broker: that one's own deadline, and a little. */
export const RENEWING = {
  longest: 10_000,
  say: 'waiting for another kubectl-curfew that asks the broker',
  busy: 'another kubectl-curfew is asking the broker for too long',
} as const;

/** What only a new login changes: asking again brings the same. */
const FINAL: readonly string[] = ['session_ended', 'login_too_old', 'idle_too_long', 'acr_too_low', 'unknown_session'];
/** What is so for every cluster. */
export const OVER: readonly string[] = ['session_ended', 'unknown_session'];

/**
 * Renews by the session handle.
 *
 * @returns `refused` when only a login helps; without network where that is known already
 * @throws CurfewError for what a login does not change: broker out of reach, unknown cluster, not admitted
 */
export async function renew(client: Client, key: Key): Promise<Outcome> {
  const known = refusedByRecord(readRecord(client.host, client.url));
  if (known) return { refused: known };
  return await withLock(client.host, [client.url, 'renew'], RENEWING, async () => {
    const entry = client.cache.read(key);
    const judgement = entry && judge(entry, client.host.now());
    if (entry && judgement?.act === 'print') return { entry };
    if (judgement?.act === 'refuse') return { refused: judgement.refused };

    const record = readRecord(client.host, client.url);
    const refused = refusedByRecord(record);
    if (!record || refused) return { refused: refused ?? NOT_LOGGED_IN };
    const secret = await client.secrets.load(client.url, record.kept_in);
    if (typeof secret === 'string') return { refused: { reason: 'unknown_session', message: secret } };
    if (secret.handle === undefined) return { refused: NOT_LOGGED_IN };
    return conclude(client, key, record, await ask(client, key, record, secret, secret.handle));
  });
}

export const NOT_LOGGED_IN: Remembered = { reason: 'unknown_session', message: 'not logged in' };

function refusedByRecord(record: SessionRecord | undefined): Remembered | undefined {
  return record?.ended ?? (record?.session ? undefined : NOT_LOGGED_IN);
}

async function ask(client: Client, key: Key, record: SessionRecord, secret: Secret, handle: string): Promise<Answer> {
  const { endpoints } = record;
  const request = (audience: string) =>
    client.broker.renew(endpoints, secret.dpop_private_jwk, { handle, audience, max_age: key.max_age });
  const known = record.audiences[key.cluster];
  const answer = known === undefined ? undefined : await request(known);
  if (answer && answer.refusal?.reason !== 'invalid_target') return answer;
  // A cluster that is new, or has another audience now.
  const { metadata } = await client.broker.metadata();
  const { audience } = findCluster(metadata.clusters, key.cluster);
  return answer && audience === known ? answer : await request(audience);
}

function conclude(client: Client, key: Key, record: SessionRecord, answer: Answer): Outcome {
  if (answer.reply) {
    const entry = entryOf(key, answer.reply, answer.asked_at);
    client.cache.write(entry);
    return { entry };
  }
  const refused = asRemembered(answer.refusal);
  if (!FINAL.includes(refused.reason)) throw asError(client, refused, key.cluster);
  client.cache.write({ ...key, minted_local: answer.asked_at, session: answer.refusal.session, refused });
  if (OVER.includes(refused.reason)) keepEnd(client, record, refused);
  return { refused };
}

export function entryOf(key: Key, { access_token, expires_in, session }: TokenReply, minted_local: Seconds): Entry {
  return { ...key, minted_local, session, token: access_token, expires_in };
}

/** @throws CurfewError `internal` when the reason is none that we know: a broker of a later version */
export function asRemembered({ reason, error_description, end_reason, acr_values }: Refusal): Remembered {
  const message = oneLine(error_description);
  if (!isCode(reason)) throw new CurfewError('login_failed', message);
  return { reason, message, ...(end_reason && { end_reason }), ...(acr_values && { acr_values }) };
}

function keepEnd(client: Client, record: SessionRecord, ended: Remembered): void {
  try {
    writeRecord(client.host, { ...record, ended });
  } catch {
    // The cache entry remembers it as well; without either the broker is asked again.
  }
}
