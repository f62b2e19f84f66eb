// What must hold between settings, over the sections that parsed. Each rule lists its faults; none throws.

import { formatDuration } from '../../shared/duration.ts';
import { resolveLimits } from '../../shared/policy.ts';
import { isReserved } from '../identity.ts';
import { formatPath } from './faults.ts';
import type { Sections } from './schema.ts';
import { isLoopbackAddress } from './values.ts';

type Given = Partial<Sections>;
type Rule = (given: Given) => string[];

export function faultsOf(given: Given): string[] {
  return RULES.flatMap((rule) => rule(given));
}

/** A public address in plain text would show handles and tokens to the network. */
const tlsUnlessLoopback: Rule = ({ listen }) =>
  listen && !listen.tls && !isLoopbackAddress(listen.address)
    ? ['listen.tls: required, as listen.address is no loopback address']
    : [];

const oneKey: Rule = ({ keys }) =>
  keys && (keys.encryption_key_file === undefined) === (keys.encryption_key_env === undefined)
    ? ['keys: expected either encryption_key_file or encryption_key_env']
    : [];

/** A name such as `system:masters` is a right in itself: no prefix may produce it. */
const prefixesNotReserved: Rule = ({ identity_provider }) =>
  (['username_prefix', 'groups_prefix'] as const)
    .filter((key) => identity_provider && isReserved(identity_provider[key]))
    .map((key) => `identity_provider.${key}: must not begin with "system:"`);

const openidAsked: Rule = ({ identity_provider }) =>
  identity_provider && !identity_provider.scopes.includes('openid')
    ? ['identity_provider.scopes: expected "openid" among them, else there is no ID token']
    : [];

const uniqueClusters: Rule = ({ clusters = [] }) => [
  ...repeated(clusters.map(({ name }) => name)).map(
    (i) => `${formatPath(['clusters', i, 'name'])}: stands there twice`,
  ),
  ...repeated(clusters.map(({ audience }) => audience)).map(
    (i) => `${formatPath(['clusters', i, 'audience'])}: belongs to another cluster already`,
  ),
];

const uniqueSegments: Rule = ({ policy }) =>
  repeated((policy?.segments ?? []).map(({ name }) => name)).map(
    (i) => `${formatPath(['policy', 'segments', i, 'name'])}: stands there twice`,
  );

/** An ID token must never pass for a Kubernetes token, nor the other way round. */
const audiencesApart: Rule = ({ clusters = [], issuer, identity_provider }) =>
  clusters.flatMap(({ audience }, i) => {
    const path = formatPath(['clusters', i, 'audience']);
    if (audience === issuer) return [`${path}: must differ from issuer`];
    return audience === identity_provider?.client_id ? [`${path}: must differ from identity_provider.client_id`] : [];
  });

const issuersApart: Rule = ({ issuer, identity_provider }) =>
  issuer !== undefined && issuer === identity_provider?.issuer
    ? ['issuer: must differ from identity_provider.issuer']
    : [];

/** Where a renewal is the use, a token as long as the idle limit would hide it. */
const idleNoticed: Rule = (given) =>
  effective(given).flatMap(({ path, limits: { token_ttl, inactivity_timeout } }) =>
    token_ttl * 2 > inactivity_timeout
      ? [
          `${path}: token_ttl (${formatDuration(token_ttl)}) must be at most half of inactivity_timeout (${formatDuration(inactivity_timeout)}), as the policy gives them for this cluster`,
        ]
      : [],
  );

const acrSatisfiable: Rule = (given) =>
  effective(given).flatMap(({ path, limits }) =>
    limits.acr?.length === 0 ? [`${path}: the segments that match leave no acr that would satisfy all of them`] : [],
  );

const RULES: readonly Rule[] = [
  tlsUnlessLoopback,
  oneKey,
  prefixesNotReserved,
  openidAsked,
  uniqueClusters,
  uniqueSegments,
  audiencesApart,
  issuersApart,
  idleNoticed,
  acrSatisfiable,
];

function effective({ clusters, policy }: Given) {
  if (!policy) return [];
  return (clusters ?? []).map((cluster, i) => ({
    path: formatPath(['clusters', i]),
    limits: resolveLimits(policy, { cluster: cluster.name }, { ...cluster.ceiling }).target,
  }));
}

function repeated(values: readonly string[]): number[] {
  return values.flatMap((value, i) => (values.indexOf(value) < i ? [i] : []));
}
