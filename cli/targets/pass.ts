// What a session gets for one connection to a target: a token that is for this connection alone, and a credential there where the kind
// has one. Nothing of it is kept on disk.

import type { CurfewError } from '../../shared/errors.ts';
import type { MetadataTarget, TargetCredential, TargetTokenReply } from '../../shared/targets.ts';
import { between, plus, type Seconds, seconds } from '../../shared/time.ts';
import type { WireSession } from '../../shared/wire.ts';
import { withLock } from '../host/lock.ts';
import { type Asked, askRevalidated } from '../session/asking.ts';
import type { Client } from '../session/client.ts';
import { noteAccount, targetNamed } from '../session/known_targets.ts';
import { readRecord } from '../session/record.ts';
import { FINAL, keepEnd, OVER_REASONS, RENEWING, refusedBy } from '../session/renew.ts';
import { dropRefresh, isDue, type Kept, noteAdmission, noteRevalidated } from '../session/revalidation.ts';
import type { Remembered } from '../warm/entry.ts';
import { asError } from '../warm/refusal.ts';
import { NOT_LOGGED_IN, refusedByRecord } from '../warm/session_record.ts';
import type { PrivateJwk } from '../wire/dpop.ts';

/** It has a way to go. */
const MARGIN = seconds(5);

export interface Pass {
  readonly target: MetadataTarget;
  readonly token: string;
  /** The key that the token is bound to. */
  readonly key: PrivateJwk;
  readonly session: WireSession;
  /** Our clock when we asked: `session.broker_time` was no earlier. */
  readonly asked_at: Seconds;
  /** By our clock: from then on another is needed. */
  readonly until: Seconds;
  readonly account?: string | undefined;
  readonly credential?: TargetCredential | undefined;
}

export interface PassRequest {
  readonly target: string;
  readonly account?: string | undefined;
  readonly ssh_public_key?: string | undefined;
  /** Nothing that is presented at the target is wanted: none is made. */
  readonly way_alone?: boolean | undefined;
}

export type PassOutcome =
  | { readonly pass: Pass; readonly refused?: undefined }
  /** Only a login helps. */
  | { readonly pass?: undefined; readonly refused: Remembered };

/**
 * Asks the broker.
 *
 * @throws CurfewError for what a login does not change
 */
export async function askForPass(client: Client, request: PassRequest): Promise<PassOutcome> {
  const known = refusedByRecord(readRecord(client.host, client.url));
  if (known) return { refused: known };
  return await withLock(client.host, [client.url, 'renew'], RENEWING, () => ask(client, request));
}

async function ask(client: Client, request: PassRequest): Promise<PassOutcome> {
  const record = readRecord(client.host, client.url);
  const refused = refusedByRecord(record);
  if (!record || refused) return { refused: refused ?? NOT_LOGGED_IN };
  const secret = await client.secrets.load(client.url, record.kept_in);
  if (typeof secret === 'string') return { refused: { reason: 'unknown_session', message: secret } };
  const { handle } = secret;
  if (handle === undefined) return { refused: NOT_LOGGED_IN };
  let target = await targetNamed(client, request.target);
  const { account, ssh_public_key, way_alone } = request;
  const credential = way_alone ? ('none' as const) : undefined;
  const renew = ({ secret: { dpop_private_jwk: key } }: Kept, id_token?: string) =>
    client.broker.renewForTarget(record.endpoints, key, {
      ...{ handle, audience: target.audience, account, ssh_public_key, credential, id_token },
    });
  const asking = async (kept: Kept, id_token?: string) => {
    const answer = await renew(kept, id_token);
    if (answer.refusal?.reason !== 'invalid_target') return answer;
    // Another audience now, or no such target any more.
    const { audience } = target;
    target = await targetNamed(client, request.target, true);
    return target.audience === audience ? answer : await renew(kept, id_token);
  };
  const due = isDue(undefined, record, client.host.now());
  return await conclude(client, () => target, await askRevalidated(client, asking, { record, secret }, due));
}

async function conclude(
  client: Client,
  target: () => MetadataTarget,
  { answer, kept, unvouched }: Asked<TargetTokenReply>,
): Promise<PassOutcome> {
  if (answer.reply) {
    const { access_token: token, expires_in, session, account, credential, not_admitted } = answer.reply;
    noteAdmission(client, noteRevalidated(client, kept, session), not_admitted);
    noteAccount(client, target().name, account);
    const { asked_at } = answer;
    const until = plus(asked_at, between(MARGIN, expires_in));
    const key = kept.secret.dpop_private_jwk;
    return { pass: { target: target(), token, key, session, asked_at, until, account, credential } };
  }
  const refused = refusedBy(answer.refusal, unvouched);
  if (!FINAL.includes(refused.reason)) throw passRefused(client, refused);
  if (OVER_REASONS.includes(refused.reason)) keepEnd(client, (await dropRefresh(client, kept)).record, refused);
  return { refused };
}

/** As an error: what helps is another command than for a cluster. */
export function passRefused(client: Pick<Client, 'is_default' | 'url'>, refused: Remembered): CurfewError {
  const hint = refused.hint ?? HINTS.get(refused.reason);
  return asError(client, hint === undefined ? refused : { ...refused, hint });
}

const HINTS: ReadonlyMap<string, string> = new Map([
  ['acr_too_low', 'run this at a terminal: it logs in at that level'],
  [
    'invalid_target',
    'ask who runs curfew-broker for access to this target, and whether its name and account are right',
  ],
]);

/** What the broker's clock says now, as far as it is known here: whoever takes our proof goes by it, not by this machine's. */
export function brokerNow(client: Pick<Client, 'host'>, { session, asked_at }: Pass): Seconds {
  return plus(session.broker_time, between(asked_at, client.host.now()));
}
