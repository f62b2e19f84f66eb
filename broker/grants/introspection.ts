// Token introspection (RFC 7662): whether a session handle or a Kubernetes token is good now. Asked by the holder of the key,
// or by a cluster about its own tokens; whatever else is presented is simply not active.

import type { Kysely } from 'kysely';
import { decide } from '../../shared/decide.ts';
import type { Seconds } from '../../shared/time.ts';
import type { Broker } from '../broker.ts';
import { gatewayAudienceOf } from '../config/clusters.ts';
import type { Cluster } from '../config/settings.ts';
import { isForApiServer, judge } from '../judgement/request.ts';
import { type Refused, refuse } from '../outcome/refused.ts';
import { recordUnknown } from '../outcome/strangers.ts';
import { mayLogIn } from '../policy/admission.ts';
import type { Caller } from '../policy/caller.ts';
import { findByHandle, findJudged } from '../sessions/find.ts';
import { activeLimits, factsOf } from '../sessions/limits.ts';
import type { Session } from '../sessions/session.ts';
import type { CurrentParts } from '../sessions/touches.ts';
import type { Schema } from '../store/tables.ts';
import type { TokenClaims } from '../tokens/mint.ts';
import { consumeProof } from '../tokens/proof_use.ts';
import { verifyGatewayToken, verifyToken } from '../tokens/verify.ts';

/** RFC 7662 2.2 */
export type Introspection =
  | { readonly active: false }
  | {
      readonly active: true;
      readonly token_type: 'N_A';
      readonly iss: string;
      readonly aud?: string;
      readonly sub: string;
      readonly username: string;
      readonly sid: string;
      readonly exp: Seconds;
      readonly auth_time: Seconds;
      readonly acr?: string;
      readonly jti?: string;
    };

/** What it takes to know. */
export type IntrospectionParts = Pick<
  Broker,
  'config' | 'store' | 'touches' | 'tokenIds' | 'keys' | 'refusals' | 'now'
>;

const INACTIVE: Introspection = { active: false };

/** By the holder of a key: about the handle that it holds, or a Kubernetes token of that session. */
export async function introspectAsHolder(
  broker: IntrospectionParts,
  caller: Caller,
  token: string,
): Promise<Introspection | Refused> {
  const { store, now } = broker;
  const { proof, address } = caller;
  const find = async (db: Kysely<Schema>): Promise<Found | undefined> => {
    const byHandle = await findByHandle({ db }, token);
    if (byHandle) return { session: byHandle };
    const claims = personsToken(broker, token, now());
    const session = claims && (await findJudged(db, claims.sid));
    return session && { session, claims };
  };
  const before = await store.read(find);
  if (!before) return INACTIVE;
  if (before.session.jkt !== proof.jkt) {
    await recordUnknown(broker, 'introspection', caller, before.session);
    return INACTIVE;
  }
  return store.transaction(async (transaction) => {
    const found = await find(transaction.db);
    if (!found || found.session.jkt !== proof.jkt) return INACTIVE;
    const { session, claims } = found;
    const { sid, iss, sub, username } = session;
    const event = { grant: 'introspection', at: now(), sid, iss, sub, username, jkt: proof.jkt, address } as const;
    if (!(await consumeProof(transaction, proof))) {
      return refuse(transaction, event, 'proof_replayed', 'the DPoP proof was used before');
    }
    return claims ? aboutToken(broker, claims, session, now()) : aboutHandle(broker, session, now());
  });
}

/** Whose a handle or token is. */
interface Found {
  readonly session: Session;
  /** Of a token. */
  readonly claims?: TokenClaims;
}

/** By a cluster, known by its webhook token: about a Kubernetes token for it. */
export async function introspectAsCluster(
  broker: IntrospectionParts,
  cluster: Cluster,
  token: string,
): Promise<Introspection> {
  const now = broker.now();
  const claims = verifyToken(broker, token, now);
  if (claims?.aud !== cluster.audience || !isForApiServer(broker, cluster, claims)) return INACTIVE;
  const session = await broker.store.read((db) => findJudged(db, claims.sid));
  return session ? aboutToken(broker, claims, session, now) : INACTIVE;
}

/** One that a person may have: where a gateway is required, for that alone. */
function personsToken(broker: IntrospectionParts, text: string, now: Seconds): TokenClaims | undefined {
  const claims = verifyToken(broker, text, now);
  if (!claims) return verifyGatewayToken(broker, text, now);
  return broker.config.clusters.some(({ audience, gateway }) => audience === claims.aud && gateway?.required)
    ? undefined
    : claims;
}

function aboutHandle({ config, touches }: CurrentParts, found: Session, now: Seconds): Introspection {
  const session = touches.overlay(found);
  if (!mayLogIn(config, session) || session.end_at_renewal !== null) return INACTIVE;
  const verdict = decide(activeLimits(config.policy, session), factsOf(session), now);
  if (!verdict.allow) return INACTIVE;
  const { iss, sub, username, sid, auth_time, acr } = session;
  return {
    active: true,
    token_type: 'N_A',
    iss,
    sub,
    username,
    sid,
    exp: verdict.session_end,
    auth_time,
    ...(acr !== null && { acr }),
  };
}

function aboutToken(
  { config, touches }: CurrentParts,
  claims: TokenClaims,
  found: Session,
  now: Seconds,
): Introspection {
  const cluster = config.clusters.find((one) => [one.audience, gatewayAudienceOf(one)].includes(claims.aud));
  if (!cluster) return INACTIVE;
  const asked = { user: claims.username, within: {} };
  if (judge(config, cluster, asked, touches.overlay(found), now)) return INACTIVE;
  const { iss, aud, sub, username, sid, exp, auth_time, acr, jti } = claims;
  return { active: true, token_type: 'N_A', iss, aud, sub, username, sid, exp, auth_time, ...(acr && { acr }), jti };
}
