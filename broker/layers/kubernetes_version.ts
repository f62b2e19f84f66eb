// Which kube-apiserver a printed configuration is for: what of it there is from which version on.

import { CurfewError } from '../../shared/errors.ts';

/** What differs between the versions that can be printed for. */
export interface Capabilities {
  /** Of `apiserver.config.k8s.io`. */
  readonly config_version: 'v1' | 'v1beta1';
  /** Whether a webhook's answers can be left out of the cache: `cacheAuthorizedRequests`, `cacheUnauthorizedRequests`. */
  readonly cache_switch: boolean;
  /** Whether it passes on the `jti` of a token by itself. */
  readonly credential_id: boolean;
}

/** Structured authentication and authorization came to be on by default with it. */
const OLDEST = 30;

/**
 * @param wanted as typed: `1.33`, `v1.33`, `1.33.13`; without it, what is current
 * @throws CurfewError `usage` for what is no version, or one that takes no such configuration
 */
export function capabilitiesOf(wanted: string | undefined): Capabilities {
  if (wanted === undefined) return capabilities(Number.POSITIVE_INFINITY);
  const [, digits] =
    /^v?1\.(0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,3})(?:[-+][0-9A-Za-z.+-]{1,64})?)?$/.exec(wanted) ?? [];
  if (digits === undefined) {
    throw new CurfewError(
      'usage',
      `--kubernetes: expected a version such as 1.33, got ${JSON.stringify(wanted.slice(0, 100))}`,
    );
  }
  const minor = Number(digits);
  if (minor < OLDEST) {
    throw new CurfewError(
      'usage',
      `--kubernetes: kube-apiserver takes such a configuration from 1.${OLDEST} on, not 1.${minor}`,
      {
        hint: 'update the cluster, or use credential: service-account',
      },
    );
  }
  return capabilities(minor);
}

function capabilities(minor: number): Capabilities {
  return {
    config_version: minor >= 34 ? 'v1' : 'v1beta1',
    cache_switch: minor >= 34,
    credential_id: minor >= 32,
  };
}
