// A session that has a token for a target, as whoever makes its credential sees it.

import type { TargetCredential } from '../../shared/targets.ts';
import type { Seconds } from '../../shared/time.ts';
import type { TargetSettings } from '../config/target_settings.ts';
import type { Session } from '../sessions/session.ts';

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
