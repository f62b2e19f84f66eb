// What people reach, by what the gateway is before: a cluster, or targets.

import type { Logger } from 'pino';
import type { TlsPair } from '../serving/config/tls.ts';
import { createProofReader } from '../serving/jws/dpop.ts';
import type { ConnectionLimits } from '../serving/net/connections.ts';
import { tlsTo } from '../serving/net/roots.ts';
import type { Broker } from './authority/ask.ts';
import type { Authority } from './authority/authority.ts';
import type { PendingLimits } from './clients.ts';
import { watchKeys } from './config/service_account_keys.ts';
import type { ClusterSettings, Settings, TargetSettings } from './config/settings.ts';
import { Verifier } from './credentials/verify.ts';
import { createFront, type Front } from './front.ts';
import type { Live } from './live/live.ts';
import type { Metrics } from './metrics.ts';
import { Connections } from './streams/connections.ts';
import { Admission } from './targets/admit.ts';
import { createTargetFront } from './targets/front.ts';
import { Sessions } from './upstream/sessions.ts';

export interface EntranceParts {
  readonly authority: Authority;
  readonly broker: Broker;
  readonly live: Live;
  readonly metrics: Metrics;
  readonly isStopping: () => boolean;
  /** Milliseconds, by a clock that is never set. */
  readonly elapsed: () => number;
  /** Of the event loop, in milliseconds. */
  readonly delay: () => number;
  /** Is told of each connection that had to go, as there were too many. */
  readonly onCut: () => void;
  readonly log: Logger;
  readonly tls: TlsPair;
  readonly limits: ConnectionLimits;
  readonly ping_ms?: number | undefined;
  /** How many connections to targets may be being made at a time, where others than usual. */
  readonly pending_limits?: PendingLimits | undefined;
}

export interface Entrance {
  readonly front: Front;
  /** Begins to read again what may change while it runs. */
  watch(): void;
  /** What that key has signed is not believed any more. */
  forget(kid: string): void;
  /** Ends everything. */
  close(): void;
}

export function createEntrance(settings: Settings, parts: EntranceParts): Entrance {
  return settings.targets ? beforeTargets(settings, parts) : beforeCluster(settings, parts);
}

function beforeCluster(settings: ClusterSettings, { log, tls, limits, ...around }: EntranceParts): Entrance {
  const { cluster, api_server, broker: place, other_credentials } = settings;
  const found = api_server.service_account_keys;
  const { keys } = around.authority;
  const verifier = new Verifier({ issuer: place.url, cluster, keys, service_account_keys: found?.keys });
  const api_tls = tlsTo(api_server.ca);
  const sessions = new Sessions(api_server.url, api_tls);
  const url = new URL(api_server.url);
  const front = createFront(
    {
      ...around,
      ...{ verifier, other_credentials, sessions, connections: new Connections() },
      ...{ api_server: url, authority_name: url.host, tls: api_tls },
    },
    tls,
    limits,
  );
  let stopWatching: (() => void) | undefined;
  return {
    front,
    watch() {
      stopWatching = found && watchKeys(found, (read) => verifier.useServiceAccountKeys(read), log);
    },
    forget: (kid) => verifier.forget(kid),
    close() {
      stopWatching?.();
      front.destroy();
      sessions.close();
    },
  };
}

function beforeTargets(settings: TargetSettings, { tls, limits, ...around }: EntranceParts): Entrance {
  const { authority, broker, elapsed } = around;
  const { broker: place, public_url } = settings;
  const proofs = createProofReader();
  const admission = new Admission({ authority, broker, proofs, issuer: place.url, public_url, elapsed });
  const front = createTargetFront({ ...around, admission }, tls, limits);
  // Each token is verified anew.
  return { front, watch: () => undefined, forget: () => undefined, close: () => front.destroy() };
}
