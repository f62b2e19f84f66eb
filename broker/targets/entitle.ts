// What a session is given for a target: a token of the broker for its gateway, and what is presented at the target itself.

import type { Verdict } from '../../shared/decide.ts';
import type { Seconds } from '../../shared/time.ts';
import type { Broker } from '../broker.ts';
import { recordTargetMint, type TargetToSign } from '../outcome/target_token.ts';
import { wireSession } from '../outcome/wire_session.ts';
import type { Caller } from '../policy/caller.ts';
import { notAdmitted } from '../policy/not_admitted.ts';
import type { AskedTarget } from '../policy/target.ts';
import type { Session } from '../sessions/session.ts';
import type { Transaction } from '../store/store.ts';
import type { MakeCredential } from './access.ts';
import { credentialFor } from './credential.ts';

export type EntitleParts = Pick<Broker, 'config' | 'tokenIds' | 'keys'>;

/** A session that may have a token for a target. */
export interface EntitledTarget {
  readonly session: Session;
  readonly asked: AskedTarget;
  readonly verdict: Verdict & { readonly allow: true };
  readonly caller: Pick<Caller, 'address'>;
  readonly ssh_public_key?: string | undefined;
  /** Whether nothing is wanted that is presented at the target itself. */
  readonly way_alone?: boolean | undefined;
  /** The session handle, after a login. */
  readonly handle?: string | undefined;
  /** What was made for it elsewhere already. */
  readonly made?: MakeCredential | undefined;
}

/** Writes down the token and what goes with it. All of it is made after the commit. */
export async function entitleTarget(
  transaction: Transaction,
  broker: EntitleParts,
  { session, asked, verdict, caller: { address }, ssh_public_key, way_alone, handle, made }: EntitledTarget,
  now: Seconds,
): Promise<TargetToSign> {
  const { config } = broker;
  const { session_end } = verdict;
  const { claims, kid } = await recordTargetMint(transaction, broker, session, asked, verdict, { now, address });
  const { target, account } = asked;
  const { jti, exp } = claims;
  const access = { session, target, account, ssh_public_key, jti, exp, session_end, address };
  const given = made ?? (way_alone ? undefined : await credentialFor(transaction, config, access, now));
  const wire = wireSession(session, asked.limits, session_end, now);
  return {
    target_to_sign: {
      claims,
      session: wire,
      kid,
      handle,
      credential: given,
      ...notAdmitted(config, session.idp_groups),
    },
  };
}
