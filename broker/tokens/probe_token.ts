// A token of nobody: only that an API server knows the key that signed it is to be learnt. No group comes with it, and it is over within minutes.

import { randomBytes } from 'node:crypto';
import { earliest, plus, type Seconds } from '../../shared/time.ts';
import { clusterLimits } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
import type { SigningKey } from './keys.ts';
import { signToken } from './mint.ts';

/** As an API server's audit log has it. */
export const PROBE_USER = 'curfew-key-probe';

/** @param length seconds, no longer than tokens of that cluster are taken for */
export function probeToken(
  config: Pick<Config, 'issuer' | 'policy'>,
  cluster: Cluster,
  signing: Pick<SigningKey, 'kid' | 'key'>,
  now: Seconds,
  length: Seconds,
): string {
  const exp = plus(now, earliest(length, clusterLimits(config, cluster).target.token_ttl));
  return signToken(
    { signing },
    {
      ...{ iss: config.issuer, aud: cluster.audience, sub: PROBE_USER, username: PROBE_USER, groups: [] },
      ...{ sid: PROBE_USER, jti: randomBytes(16).toString('base64url'), iat: now, nbf: now, exp, auth_time: now },
    },
  );
}
