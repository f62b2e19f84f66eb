// The identity provider confirms the account again: its refresh token brings a newer ID token of the same login, and the
// broker takes that. Loads nothing heavy until it has to ask: most renewals do not.

import { decide } from '../../shared/decide.ts';
import { CurfewError } from '../../shared/errors.ts';
import { between, plus, type Seconds, seconds } from '../../shared/time.ts';
import { factsOf, type Refusal, type WireSession } from '../../shared/wire.ts';
import { codeOf } from '../host/error_code.ts';
import type { Secret } from '../secrets/secret.ts';
import type { Entry } from '../warm/entry.ts';
import type { SessionRecord } from '../warm/session_record.ts';
import type { Client } from './client.ts';
import { writeRecord } from './record.ts';
import { discoverOnly, revokeRefreshToken } from './refresh_token.ts';

/** For the refresh with all that it takes: others wait for it, and no longer than 10 s for the whole renewal. */
const REFRESHING_MS = 5_000;

/** What is kept of one login while a renewal is under way. Replaced as a whole by what changes it. */
export interface Kept {
  readonly record: SessionRecord;
  readonly secret: Secret;
}

/** What it takes to keep a login that changed. */
type Keeper = Pick<Client, 'host' | 'secrets' | 'url'>;

/** What came of asking: a token, or why there is none. */
export type Revalidation = { readonly kept: Kept } & (
  | { readonly id_token: string; readonly away?: undefined }
  /** Out of reach, or in no state to answer: another time it may be. */
  | { readonly away: CurfewError; readonly id_token?: undefined }
  /** It does not, and will not: only a login helps. Why is in the record. */
  | { readonly id_token?: undefined; readonly away?: undefined }
);

/**
 * Whether a token minted now would be cut short for want of the identity provider's word, as far as is known here: the limits
 * from the last answer for this cluster, and the newest word that is known.
 */
export function isDue(entry: Entry | undefined, record: SessionRecord, now: Seconds): boolean {
  const known = entry?.session?.sid === record.session?.sid ? entry : undefined;
  const { session, minted_local } = known ?? record;
  if (!session || now < minted_local) return false;
  const instant = plus(session.broker_time, between(minted_local, now));
  const revalidated_at = newest(session, record.session);
  const facts = { ...factsOf(session), revalidated_at, last_used: instant };
  const { target } = session.limits;
  // Of another cluster only what holds everywhere is of interest.
  const revalidate = known ? target.revalidate : session.limits.session.revalidate;
  if (revalidate === undefined) return false;
  const judged = (limit: Seconds | undefined) =>
    decide({ ...session.limits, target: { ...target, revalidate: limit } }, facts, instant);
  const [confirmed, whole] = [judged(revalidate), judged(undefined)];
  return whole.allow && (!confirmed.allow || confirmed.exp < whole.exp);
}

function newest(...sessions: readonly (WireSession | undefined)[]): Seconds | undefined {
  const instants = sessions.flatMap((session) => session?.revalidated_at ?? []);
  return instants.length === 0 ? undefined : seconds(Math.max(...instants));
}

/**
 * Asks the identity provider by the refresh token. A new refresh token that comes with the answer is kept before anything
 * else is done; one that is refused is forgotten.
 *
 * @returns `undefined` when there is no refresh token to ask with
 */
export async function askToRevalidate(client: Client, kept: Kept): Promise<Revalidation | undefined> {
  const { refresh } = kept.secret;
  if (!refresh) return undefined;
  try {
    const answer = await refreshAt(client, refresh);
    if (answer.refused !== undefined) return { kept: await forgetRefresh(client, kept, `it says: ${answer.refused}`) };
    const { id_token, refresh_token = refresh.refresh_token } = answer;
    if (id_token === undefined) return { kept: await forgetRefresh(client, kept, 'its refresh brings no ID token') };
    if (refresh_token === refresh.refresh_token) return { kept, id_token };
    const secret = { ...kept.secret, refresh: { ...refresh, refresh_token } };
    return { kept: await keepSecret(client, kept, secret), id_token };
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    return { kept, away: error };
  }
}

/** @throws CurfewError `identity_provider` or `broker_unreachable` */
async function refreshAt(
  client: Pick<Client, 'broker' | 'host' | 'send'>,
  { issuer, refresh_token }: NonNullable<Secret['refresh']>,
) {
  const provider = await discoverOnly(client, issuer, REFRESHING_MS);
  if (!provider) return { refused: 'the broker has another identity provider now' };
  return await provider.refresh(refresh_token);
}

/** Whether the broker does not take the ID token, and says nothing of the session by that. */
export function refusesIdToken(refusal: Refusal | undefined): refusal is Refusal {
  return refusal !== undefined && (refusal.reason.startsWith('id_token_') || OF_ID_TOKEN.includes(refusal.reason));
}

const OF_ID_TOKEN: readonly string[] = ['clock', 'auth_time', 'username', 'groups'];
/** What this identity provider will do again: it puts another `auth_time` into a refreshed ID token, or none. */
const LASTING: readonly string[] = ['id_token_other_login', 'auth_time'];

/** The broker refused the refreshed ID token. Where the next would be the same, none is fetched any more. */
export async function forgetIfLasting(client: Keeper, kept: Kept, { reason }: Refusal, why: string): Promise<Kept> {
  return LASTING.includes(reason) ? await forgetRefresh(client, kept, why) : kept;
}

/** @param why_not follows `the identity provider no longer confirms the login: ` */
async function forgetRefresh(client: Keeper, kept: Kept, why_not: string): Promise<Kept> {
  const { refresh: _, ...secret } = kept.secret;
  const forgotten = await keepSecret(client, kept, secret);
  return keepRecord(client, forgotten, { ...forgotten.record, unvouched: why_not });
}

/** Erases the refresh token of a session that is over, and has it revoked. */
export async function dropRefresh(client: Client, kept: Kept): Promise<Kept> {
  const { refresh, ...secret } = kept.secret;
  if (!refresh) return kept;
  const dropped = await keepSecret(client, kept, secret);
  await revokeRefreshToken(client, refresh);
  return dropped;
}

/** Notes what the identity provider's word changed, for the other clusters and for `status`. */
export function noteRevalidated(
  client: Pick<Client, 'host'>,
  kept: Kept,
  { revalidated_at, groups, username }: WireSession,
): Kept {
  const { session } = kept.record;
  if (!session || revalidated_at === undefined || session.revalidated_at === revalidated_at) return kept;
  const { unvouched: _, ...record } = kept.record;
  return keepRecord(client, kept, { ...record, session: { ...session, revalidated_at, groups, username } });
}

/** Notes which clusters do not admit the person, for `status`. Where a broker does not say, nothing is known of it. */
export function noteAdmission(client: Pick<Client, 'host'>, kept: Kept, not_admitted: readonly string[] = []): void {
  const { record } = kept;
  if (!record.session || String(record.not_admitted ?? []) === String(not_admitted)) return;
  keepRecord(client, kept, { ...record, not_admitted });
}

async function keepSecret(client: Keeper, { record }: Kept, secret: Secret): Promise<Kept> {
  const kept_in = await client.secrets.save(client.url, secret, record.kept_in);
  if (kept_in === undefined || kept_in === record.kept_in) return { record, secret };
  return keepRecord(client, { record, secret }, { ...record, kept_in });
}

function keepRecord({ host }: Pick<Client, 'host'>, { secret }: Kept, record: SessionRecord): Kept {
  try {
    writeRecord(host, record);
  } catch (error) {
    host.say(`what changed of the login cannot be kept (${codeOf(error)})`);
  }
  return { record, secret };
}
