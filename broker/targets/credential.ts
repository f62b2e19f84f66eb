// What is presented at a target itself, beyond its gateway. In the transaction that allows the token it is written down what is to be
// given; it is made after the commit. What must be made elsewhere first is decided on again after that: `pending_role.ts`.

import type { TargetCredential } from '../../shared/targets.ts';
import type { Seconds } from '../../shared/time.ts';
import type { TargetSettings } from '../config/target_settings.ts';
import type { Session } from '../sessions/session.ts';
import type { Transaction } from '../store/store.ts';

/** A session that has a token for a target. */
export interface Access {
  readonly session: Session;
  readonly target: TargetSettings;
  /** Absent where its kind has no accounts. */
  readonly account?: string | undefined;
  /** Of whoever is to log in at an SSH server, well formed. */
  readonly ssh_public_key?: string | undefined;
  /** Of the token. */
  readonly jti: string;
  readonly exp: Seconds;
  /** When the session is over for this target, as of now. */
  readonly session_end: Seconds;
  /** Where the request comes from. */
  readonly address: string;
}

/** Makes what was written down, once that is on disk. */
export type MakeCredential = () => TargetCredential;

/**
 * For kinds whose credential the broker makes by itself. Writes its row (`credential`).
 *
 * @returns nothing where there is no more than the way to the target
 */
export async function credentialFor(
  _transaction: Transaction,
  { target }: Access,
  _now: Seconds,
): Promise<MakeCredential | undefined> {
  switch (target.kind) {
    case 'ssh':
    case 'postgres':
    case 'tcp':
      return undefined;
  }
}
