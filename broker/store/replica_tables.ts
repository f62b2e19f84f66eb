// Tables by which replicas know what others did: the feed, leases, and what gateways have told whichever of them.

import type { Seconds } from '../../shared/time.ts';

/** One row: the newest number of the feed, which is given under its lock alone. */
export interface FeedHeadTable {
  id: 1;
  seq: number;
  /** Up to here its changes have been forgotten. */
  forgotten: number;
}

/** What replicas must know of, in the order of commits. */
export interface FeedTable {
  /** Without gaps. */
  seq: number;
  at: Seconds;
  kind: string;
  sid: string | null;
  /** JSON of the rest. */
  data: string;
}

/** What one replica does at a time. Rows stay, as their numbers must never come again. */
export interface LeaseTable {
  name: string;
  /** Null where nobody holds it. */
  holder: string | null;
  /** By the clock of the database. Null until it is given back: where there is one broker. */
  until: Seconds | null;
  /** Raised each time that another takes it. */
  fence: number;
}

/** Up to where events of a gateway's process are in the audit log. */
export interface GatewayPlaceTable {
  cluster: string;
  instance: string;
  seq: number;
  /** When it told something last. */
  at: Seconds;
}
