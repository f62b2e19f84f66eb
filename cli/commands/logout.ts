// `logout`: ends the session at the broker and forgets it here. What is local goes in any case; the key stays.

import { setTimeout as pause } from 'node:timers/promises';
import { CurfewError } from '../../shared/errors.ts';
import { between, plus } from '../../shared/time.ts';
import type { WireSession } from '../../shared/wire.ts';
import { chooseBroker } from '../host/config.ts';
import type { Host } from '../host/host.ts';
import { withLock } from '../host/lock.ts';
import { type Client, createClient } from '../session/client.ts';
import { listRecords, readRecord, removeStrayRecord, strayRecord, writeRecord } from '../session/record.ts';
import { type RefreshToken, revokeRefreshToken } from '../session/refresh_token.ts';
import { RENEWING } from '../session/renew.ts';
import type { Remembered } from '../warm/entry.ts';
import { sayInstant } from '../warm/instant.ts';
import type { SessionRecord } from '../warm/session_record.ts';
import type { PrivateJwk } from '../wire/dpop.ts';

export interface LogoutOptions {
  readonly broker?: string;
  readonly all?: boolean;
  readonly caFile?: string;
}

/** @throws CurfewError `broker_unreachable` that says until when the session is active there; it is erased here all the same */
export async function logoutCommand(host: Host, { broker, all, caFile }: LogoutOptions): Promise<void> {
  const urls = all ? listRecords(host).map((record) => record.broker) : [chooseBroker(host, broker)];
  let failure: unknown;
  for (const url of urls) {
    try {
      await logout(createClient(host, url, caFile));
    } catch (error) {
      // The others are ended all the same; the first failure is the one that is told.
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
  if (urls.length === 0) host.print('not logged in anywhere\n');
}

async function logout(client: Client): Promise<void> {
  const { host, url, cache } = client;
  const left: RefreshToken[] = [];
  try {
    await withLock(host, [url, 'renew'], RENEWING, async () => {
      cache.forget(url);
      let ended = false;
      try {
        ended = await endStray(client, left);
      } finally {
        // Whatever came of the other: there can be one here as well.
        ended = (await endKept(client, left)) || ended;
      }
      host.print(`${ended ? 'logged out of' : 'not logged in at'} ${url}\n`);
    });
  } finally {
    // Nobody waits for it: not the end at the broker, nor who wants to renew.
    for (const token of left) await revokeRefreshToken(client, token);
  }
}

/** Ends and erases the session that is kept here. @param left gets its refresh token @returns whether there was one */
async function endKept(
  client: Pick<Client, 'broker' | 'host' | 'secrets' | 'url'>,
  left: RefreshToken[],
): Promise<boolean> {
  const record = readRecord(client.host, client.url);
  if (!record?.session) return false;
  const handle = await takeHandle(client, record, left);
  if (!record.ended && handle !== undefined) await revoke(client, record, handle);
  return true;
}

/** Ends and erases what an earlier `secret_storage` keeps elsewhere. @returns whether there was a session */
async function endStray(
  client: Pick<Client, 'broker' | 'host' | 'secrets' | 'url'>,
  left: RefreshToken[],
): Promise<boolean> {
  const { host, url, secrets } = client;
  const stray = strayRecord(host, url);
  if (!stray) return false;
  const secret = await secrets.load(url, stray.kept_in);
  removeStrayRecord(host, url);
  await secrets.erase(url, stray.kept_in);
  if (typeof secret === 'object' && secret.refresh) left.push(secret.refresh);
  if (!stray.session || stray.ended || typeof secret === 'string' || secret.handle === undefined) return false;
  await revoke(client, stray, { key: secret.dpop_private_jwk, text: secret.handle });
  return true;
}

async function revoke(
  client: Pick<Client, 'broker' | 'host'>,
  record: SessionRecord,
  { key, text }: Handle,
): Promise<void> {
  try {
    await client.broker.revoke(record.endpoints, key, text);
    await outlastLogin(client.host, record);
  } catch (error) {
    throw error instanceof CurfewError ? stillThere(client, record, error) : error;
  }
}

/** Where the session ended in the second of its login: a login of that second is not newer than the end, for the broker. */
async function outlastLogin({ now }: Pick<Host, 'now'>, { session, minted_local }: SessionRecord): Promise<void> {
  if (!session || session.broker_time + between(minted_local, now()) > session.auth_time) return;
  await pause(1000);
}

/** Forgets the session that is kept here, if it is one that was ended at the broker. The key outlives it. */
export async function forgetSession(
  client: Client,
  isEnded: (session: WireSession) => boolean,
  ended = ENDED_HERE,
): Promise<void> {
  const { host, url, cache } = client;
  const left: RefreshToken[] = [];
  await withLock(host, [url, 'renew'], RENEWING, async () => {
    const record = readRecord(host, url);
    if (!record?.session || !isEnded(record.session)) return;
    cache.forget(url);
    await takeHandle(client, { ...record, ended }, left, ended);
  });
  for (const token of left) await revokeRefreshToken(client, token);
}

const LOGGED_OUT: Remembered = { reason: 'session_ended', message: 'logged out', end_reason: 'logout' };
const ENDED_HERE: Remembered = {
  reason: 'session_ended',
  message: 'session is over: ended by its owner',
  end_reason: 'owner',
};

/** What it takes to end a session at the broker. */
interface Handle {
  readonly key: PrivateJwk;
  readonly text: string;
}

/** Erases what is here of the session, and returns what it takes to end it there. The key outlives it. */
async function takeHandle(
  client: Pick<Client, 'host' | 'secrets' | 'url'>,
  record: SessionRecord,
  left: RefreshToken[],
  ended = LOGGED_OUT,
): Promise<Handle | undefined> {
  const { host, url, secrets } = client;
  const secret = await secrets.load(url, record.kept_in);
  const { session: _, ...rest } = record;
  writeRecord(host, { ...rest, ended });
  if (typeof secret === 'string') {
    if (record.ended) return undefined;
    throw stillThere(
      client,
      record,
      new CurfewError('unavailable', `${secret}: the session cannot be ended at the broker`),
    );
  }
  const { dpop_private_jwk: key, handle: text, refresh } = secret;
  if (refresh) left.push(refresh);
  await secrets.save(url, { dpop_private_jwk: key }, record.kept_in);
  return text === undefined ? undefined : { key, text };
}

function stillThere(
  { host }: Pick<Client, 'host'>,
  { session, minted_local }: SessionRecord,
  error: CurfewError,
): CurfewError {
  const end = session && plus(minted_local, between(session.broker_time, session.end_at_most));
  const until = end === undefined ? '' : `; the session is active there until ${sayInstant(end, host.now())}`;
  const hint = 'it is erased here; once the broker is back, kubectl curfew login replaces it there';
  return new CurfewError(error.code, `${error.message}${until}`, { hint });
}
