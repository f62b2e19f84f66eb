// Tables of what is reached beside clusters.

import type { Seconds } from '../../shared/time.ts';

/** Connections to targets that are open, as far as the broker knows: from the decision on, until its gateway tells that it is closed, or is lost. */
export interface ConnectionTable {
  /** 128 random bits. */
  id: string;
  /** Of the token. */
  sid: string;
  /** Of the session that judges: the one that replaced it, where that is so. */
  judged_sid: string;
  target: string;
  /** A `TargetKind`. */
  kind: string;
  account: string | null;
  /** The client's. */
  address: string;
  since: Seconds;
  /** When its gateway asked last for what it is judged by. */
  seen: Seconds;
}
