// What every request works with: the services, by name. The type alone, so that whoever is handed one can say what of it is used.

import type { Logger } from 'pino';
import type { Clock, Stopwatch } from '../shared/time.ts';
import type { ClusterApis } from './api_servers/apis.ts';
import type { DenialEvent, RefusalEvent } from './audit_log/events.ts';
import type { BrokerClock } from './clock/clock.ts';
import type { Config } from './config/settings.ts';
import type { Databases } from './databases/databases.ts';
import type { FailingAddresses } from './failed_logins/failed_logins.ts';
import type { Replicas } from './feed/replicas.ts';
import type { Turn } from './leases/turn.ts';
import type { Metrics } from './metrics/metrics.ts';
import type { KnownRefusals } from './refusals/known_refusals.ts';
import type { Repeated } from './refusals/repeated.ts';
import type { Holders } from './sessions/holders.ts';
import type { JudgedSessions } from './sessions/judged.ts';
import type { Touches } from './sessions/touches.ts';
import type { Store } from './store/store.ts';
import type { Keys } from './tokens/keys.ts';
import type { OldTokenIds } from './tokens/old_token_ids.ts';
import type { TokenIds } from './tokens/token_id.ts';
import type { IdentityProvider } from './upstream/identity_provider.ts';
import type { Transmitters } from './upstream/transmitters.ts';

export interface Broker {
  /** The configuration in force: another one after a reload, so it is read once for each decision. */
  readonly config: Config;
  readonly store: Store;
  /** Others after all was declared over, so they are read at each use. */
  readonly keys: Keys;
  readonly tokenIds: TokenIds;
  readonly oldTokenIds: OldTokenIds | undefined;
  readonly touches: Touches;
  /** As webhooks read them. */
  readonly judged: Pick<JudgedSessions, 'find'>;
  readonly denials: Repeated<DenialEvent>;
  /** Denials of requests that show no token of the session that they name: anybody may make as many as they like. */
  readonly unproven: Repeated<DenialEvent>;
  /** Of callers that are not known. */
  readonly refusals: Repeated<RefusalEvent>;
  /** Of people who are known. */
  readonly known_refusals: KnownRefusals;
  readonly holders: Holders;
  /** Failed logins of nobody knows whom. */
  readonly strangers: FailingAddresses;
  readonly metrics: Metrics;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly identityProvider: IdentityProvider;
  readonly transmitters: Transmitters;
  /** The API servers of clusters with `credential: service-account`. */
  readonly apis: ClusterApis;
  /** Servers in which sessions have roles. */
  readonly databases: Databases;
  readonly clock: BrokerClock;
  /** What this one learns of the others. */
  readonly replicas: Pick<Replicas, 'feed' | 'policies'>;
  /** Whether this one does what one replica does at a time. */
  readonly turn: Turn;
  /** The clock's, for decisions. */
  readonly now: Clock;
  /** For lengths: it is never set. */
  readonly stopwatch: Stopwatch;
}
