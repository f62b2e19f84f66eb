// The authorization webhook's answer for one request at an API server: is the person's session over for what is touched.
// Says no, or has no opinion: what a person may do is RBAC's. It is also the clock of real use.

import type { Code } from '../../shared/errors.ts';
import { over, plus, type Seconds } from '../../shared/time.ts';
import type { DenialEvent } from '../audit_log/events.ts';
import type { Broker } from '../broker.ts';
import { sayClockFault } from '../clock/clock.ts';
import { swappedAudience, takenAfterExp } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
import { judge, type Refusal } from '../judgement/request.ts';
import { currentSessions } from '../sessions/current.ts';
import { sessionLimits } from '../sessions/limits.ts';
import type { Session } from '../sessions/session.ts';
import { isOldTokenId } from '../tokens/old_token_ids.ts';
import { mayActAs } from './impersonation.ts';
import type { AccessReview } from './review.ts';

/** No opinion, or a denial with its reason as a person reads it. */
export type Opinion = { readonly denied: false } | { readonly denied: true; readonly reason: string };

const NO_OPINION: Opinion = { denied: false };
/**
 * What is answered about a session to whoever does not show its token: the same, whatever there is to know. A review that
 * anybody can make (SubjectAccessReview, LocalSubjectAccessReview, impersonation with extra) is evidence of nothing.
 */
const NOT_PROVEN = 'curfew: not a request with a valid token of this session';
/** What of a name goes into the audit log, in characters: a review of half a MiB must not be a row of half a MiB. */
const LONGEST_IN_RECORD = 300;

const NO_LOGIN_HELPS: ReadonlySet<Code> = new Set(['unknown_session', 'another_user', 'not_admitted', 'impersonation']);

/** What a review is answered with. */
export type ReviewParts = Pick<
  Broker,
  | 'config'
  | 'store'
  | 'judged'
  | 'touches'
  | 'clock'
  | 'now'
  | 'tokenIds'
  | 'oldTokenIds'
  | 'denials'
  | 'unproven'
  | 'log'
>;

/** @param address of the API server that asks: its own, not the person's */
export async function authorize(broker: ReviewParts, cluster: Cluster, review: AccessReview): Promise<Opinion> {
  // kubectl shows no reason where discovery is denied, only `unknown`: what it asks for next is denied in words.
  if (review.sid === undefined || review.discovery) return NO_OPINION;
  const { config, judged, touches } = broker;
  // Not no opinion: where the API server goes on without us, an ended session would pass.
  const fault = broker.clock.fault();
  if (fault !== undefined)
    return { denied: true, reason: `curfew: ${sayClockFault(fault)}; ask who runs curfew-broker` };
  const now = broker.now();
  const { sid } = review;
  const shown = tokenShown(broker, cluster, sid, review.jti ?? '', now);
  if (shown === 'none') {
    const row = broker.unproven.note({ ...denialOf(cluster, review, now), reason: 'token_id', sid });
    if (row) await write(broker, row);
    return { denied: true, reason: NOT_PROVEN };
  }
  const found = await judged.find(sid);
  const session = found && touches.overlay(found);
  const refusal = judge(config, cluster, review, session, now) ?? refuseToActAs(config, cluster, review);
  if (refusal === undefined) {
    if (found && shown === 'own') touches.note(found, () => sessionLimits(config.policy, found), now);
    return NO_OPINION;
  }
  await record(broker, cluster, review, session, refusal, now);
  return { denied: true, reason: say(refusal, cluster) };
}

/** Whether the request shows a token of the session that an API server can still take; decided without the store. */
function tokenShown(
  { tokenIds, oldTokenIds }: Pick<Broker, 'tokenIds' | 'oldTokenIds'>,
  cluster: Cluster,
  sid: string,
  jti: string,
  now: Seconds,
): 'own' | 'old' | 'none' {
  const idFor = (audience: string) => tokenIds.expOf(jti, { sid, audience });
  // Those that people have themselves are out from before a gateway was required: none is minted since.
  const exp = idFor(cluster.audience) ?? (cluster.gateway && idFor(swappedAudience(cluster)));
  if (exp !== undefined) return over(plus(exp, takenAfterExp(cluster)), now) ? 'none' : 'own';
  return isOldTokenId(jti, oldTokenIds, now) ? 'old' : 'none';
}

/** Last, so that it is told to nobody whose session is over. */
function refuseToActAs({ policy }: Config, { name }: Cluster, { acts_as }: AccessReview): Refusal | undefined {
  if (acts_as === undefined || mayActAs(policy.segments, name, acts_as)) return undefined;
  const message =
    "a session cannot act as a ServiceAccount, or as an identity of Kubernetes' own, unless a segment of the policy allows it";
  return { code: 'impersonation', message };
}

/** Ends the session where a session-wide limit struck, and writes the denial down. Denied it is, whatever the store does. */
async function record(
  broker: Pick<ReviewParts, 'config' | 'store' | 'touches' | 'denials' | 'log'>,
  cluster: Cluster,
  review: AccessReview,
  session: Session | undefined,
  { code, limits, denied }: Refusal,
  at: Seconds,
): Promise<void> {
  const { config, store, touches, denials, log } = broker;
  const who = { sid: session?.sid ?? review.sid, ...(session && { iss: session.iss, sub: session.sub }) };
  const why = { segment: limits?.segment, end_reason: denied?.end_reason, limits: limits?.target };
  const row = denials.note({ ...denialOf(cluster, review, at), reason: code, ...who, ...why });
  if (!row && !denied?.ends) return;
  try {
    await store.transaction(async (transaction) => {
      // Judged once more on what is stored: a renewal may have come between.
      if (session && denied?.ends)
        await currentSessions(transaction, { config, touches }, { sids: [session.sid] }, at, 'spares');
      if (row) await transaction.audit(row);
    });
  } catch {
    log.error({ sid: session?.sid, reason: code }, 'a denial could not be recorded; it was denied all the same');
  }
}

/** What is known of any denied request. */
function denialOf(
  { name: cluster }: Cluster,
  { user, verb, namespace, resource, jti }: AccessReview,
  at: Seconds,
): Omit<DenialEvent, 'reason'> {
  const what = { verb: short(verb), namespace: short(namespace), resource: short(resource), jti };
  return { event: 'denial', at, cluster, username: short(user), ...what };
}

function short<T extends string | undefined>(text: T): T {
  return text?.slice(0, LONGEST_IN_RECORD) as T;
}

async function write({ store, log }: Pick<Broker, 'store' | 'log'>, row: DenialEvent): Promise<void> {
  try {
    await store.transaction((transaction) => transaction.audit(row));
  } catch {
    log.error({ reason: row.reason }, 'a denial could not be recorded; it was denied all the same');
  }
}

function say({ code, message, limits, denied }: Refusal, { name }: Cluster): string {
  if (NO_LOGIN_HELPS.has(code)) return `curfew: ${message}`;
  const only = denied && denied.ends === undefined && code !== 'session_ended';
  const where = only && limits?.segment !== undefined ? ` (segment ${limits.segment})` : '';
  return `curfew: ${message}${where}; run: kubectl curfew login${only ? ` --cluster ${name}` : ''}`;
}
