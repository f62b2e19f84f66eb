// What must hold between settings, over the sections that parsed. Each rule lists its faults; none throws.

import { formatPath } from '../../serving/config/faults.ts';
import { formatDuration } from '../../shared/duration.ts';
import { combine } from '../../shared/limits.ts';
import { type Match, matches, meansClusters, meansTargets, resolveLimits } from '../../shared/policy.ts';
import { gatewayAudience } from '../../shared/token_typ.ts';
import { sayWithin, unsatisfiable } from './acr.ts';
import { isReserved } from './names.ts';
import { looserThan } from './presets.ts';
import type { Sections } from './schema.ts';
import { TARGET_RULES } from './target_consistency.ts';
import { isLoopbackAddress } from './values.ts';

type Given = Partial<Sections>;
type Rule = (given: Given) => string[];

export function faultsOf(given: Given): string[] {
  return RULES.flatMap((rule) => rule(given));
}

/** Else nobody could present one. */
const certificatesCanBePresented: Rule = ({ listen, clusters = [] }) =>
  clusters.flatMap(({ webhook }, i) =>
    webhook?.client_certificate && listen && !listen.tls?.client_ca_file
      ? [`clusters[${i}].webhook.client_certificate: needs listen.tls.client_ca_file`]
      : [],
  );

/** A public address in plain text would show handles and tokens to the network. */
const tlsUnlessLoopback: Rule = ({ listen }) =>
  listen && !listen.tls && !isLoopbackAddress(listen.address)
    ? ['listen.tls: required, as listen.address is not a loopback address']
    : [];

const oneKey: Rule = ({ keys }) =>
  keys && (keys.encryption_key_file === undefined) === (keys.encryption_key_env === undefined)
    ? ['keys: expected either encryption_key_file or encryption_key_env']
    : [];

const oneOtherKey: Rule = ({ keys }) =>
  keys?.other_encryption_key_file !== undefined && keys.other_encryption_key_env !== undefined
    ? ['keys: expected other_encryption_key_file or other_encryption_key_env, and not both']
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
  ...repeated(clusters.map(({ name }) => name)).map((i) => `${formatPath(['clusters', i, 'name'])}: is there twice`),
  ...repeated(clusters.map(({ audience }) => audience)).map(
    (i) => `${formatPath(['clusters', i, 'audience'])}: belongs to another cluster already`,
  ),
];

/** What takes no flags has no webhook and no ceiling; what takes them needs no ServiceAccounts. */
const credentialWhole: Rule = ({ clusters = [] }) =>
  clusters.flatMap(({ credential, service_accounts, broker_token_file, webhook, ceiling }, i) => {
    const path = formatPath(['clusters', i]);
    const given = { service_accounts, broker_token_file, webhook, ceiling };
    const own = ['service_accounts', 'broker_token_file'] as const;
    if (credential === 'token') {
      return own
        .filter((key) => given[key] !== undefined)
        .map((key) => `${path}.${key}: only with credential: service-account`);
    }
    return [
      ...own
        .filter((key) => given[key] === undefined)
        .map((key) => `${path}.${key}: required with credential: service-account`),
      ...(['webhook', 'ceiling'] as const)
        .filter((key) => given[key] !== undefined)
        .map((key) => `${path}.${key}: not with credential: service-account, as its API server takes no flags`),
    ];
  });

/** Tokens of the cluster itself are taken by its API server, whoever presents them. */
const gatewayRequired: Rule = ({ clusters = [] }) =>
  clusters.flatMap(({ credential, gateway }, i) =>
    gateway?.required && credential === 'service-account'
      ? [`${formatPath(['clusters', i, 'gateway', 'required'])}: not with credential: service-account`]
      : [],
  );

/** A transmitter that may not speak of the IdP's persons would be heard and never heeded. */
const transmittersKnown: Rule = ({ ssf = [], identity_provider }) => [
  ...repeated(ssf.map(({ issuer }) => issuer)).map((i) => `${formatPath(['ssf', i, 'issuer'])}: is there twice`),
  ...ssf.flatMap(({ issuers }, i) =>
    !identity_provider || issuers.includes(identity_provider.issuer)
      ? []
      : [
          `${formatPath(['ssf', i, 'issuers'])}: expected identity_provider.issuer among them, else it speaks of nobody`,
        ],
  ),
];

const uniqueSegments: Rule = ({ policy }) =>
  repeated((policy?.segments ?? []).map(({ name }) => name)).map(
    (i) => `${formatPath(['policy', 'segments', i, 'name'])}: is there twice`,
  );

/** An ID token must never pass for a Kubernetes token, nor the other way round. */
const audiencesApart: Rule = ({ clusters = [], issuer, identity_provider }) =>
  clusters.flatMap(({ audience }, i) => {
    const path = formatPath(['clusters', i, 'audience']);
    if (audience === issuer) return [`${path}: must differ from issuer`];
    return audience === identity_provider?.client_id ? [`${path}: must differ from identity_provider.client_id`] : [];
  });

/** Kept for tokens that a gateway alone takes. */
const audiencesReserved: Rule = ({ clusters = [] }) => {
  const reserved = new Set(clusters.map(({ name }) => gatewayAudience(name)));
  return clusters.flatMap(({ audience }, i) =>
    reserved.has(audience)
      ? [`${formatPath(['clusters', i, 'audience'])}: is reserved for the gateway of a cluster`]
      : [],
  );
};

const issuersApart: Rule = ({ issuer, identity_provider }) =>
  issuer !== undefined && issuer === identity_provider?.issuer
    ? ['issuer: must differ from identity_provider.issuer']
    : [];

/** Where a renewal is the use (no webhook, and no gateway that all pass), a token as long as the idle limit would hide it. */
const idleNoticed: Rule = (given) =>
  effective(given).flatMap(({ path, seen, limits: { token_ttl, inactivity_timeout } }) =>
    !seen && token_ttl * 2 > inactivity_timeout
      ? [
          `${path}: token_ttl (${formatDuration(token_ttl)}) must be at most half of inactivity_timeout (${formatDuration(inactivity_timeout)}), as the policy gives them for this cluster`,
        ]
      : [],
  );

/** All are evaluated at each login and renewal, while everybody else waits. */
const MOST_STEPS = 1_000_000;
const rulesBounded: Rule = ({ policy }) => {
  const steps = (policy?.rules ?? []).reduce((sum, { when }) => sum + when.most_steps, 0);
  return steps <= MOST_STEPS
    ? []
    : [`policy.rules: together they can take ${steps} steps for a person with 500 groups, more than ${MOST_STEPS}`];
};

/** The same for what a rule may yield. */
const idleNoticedByRules: Rule = (given) =>
  (given.policy?.rules ?? []).flatMap((rule, i) => {
    if (rule.limits.inactivity_timeout === undefined) return [];
    const hidden = effective(given).filter(({ name, seen, limits }) => {
      const { token_ttl, inactivity_timeout } = combine(limits, rule.limits);
      return !seen && mayMean(rule, name) && token_ttl * 2 > inactivity_timeout;
    });
    if (hidden.length === 0) return [];
    const names = hidden.map(({ name }) => name).join(', ');
    const path = formatPath(['policy', 'rules', i, 'limits']);
    return [`${path}: inactivity_timeout must be at least twice the token_ttl, as the policy gives it for ${names}`];
  });

const acrSatisfiable: Rule = ({ clusters = [], policy }) => {
  if (!policy) return [];
  return clusters.flatMap(({ name }, i) => {
    const nowhere = unsatisfiable(policy, name);
    if (nowhere) {
      const where = [formatPath(['clusters', i]), sayWithin(nowhere)].filter(Boolean).join(': ');
      return [`${where}: the segments that match leave no acr that would satisfy all of them`];
    }
    return policy.rules.flatMap((rule, i) => {
      const denied = rule.when.uses_target ? undefined : unsatisfiable(policy, name, rule);
      if (!denied) return [];
      const where = [`cluster ${name}`, sayWithin(denied)].filter(Boolean).join(' ');
      return [`${formatPath(['policy', 'rules', i, 'limits', 'acr'])}: none of these would satisfy ${where} as well`];
    });
  });
};

/** Else nobody could be an administrator. */
const adminsSatisfiable: Rule = ({ admins, policy }) =>
  admins && policy && combine(policy.limits, admins.limits).acr?.length === 0
    ? ['admins.limits.acr: none of these would satisfy policy.limits as well']
    : [];

/** A limit that a chosen level does not allow is a mistake, not a policy. */
const withinPreset: Rule = ({ policy }) => {
  if (!policy) return [];
  const { preset, limits, segments } = policy;
  return [
    ...(preset ? looserThan(preset, limits).map((fault) => `policy.limits: ${fault}`) : []),
    ...segments.flatMap((segment, i) => {
      if (!segment.preset) return [];
      const path = formatPath(['policy', 'segments', i, 'limits']);
      return looserThan(segment.preset, combine(limits, segment.limits)).map((fault) => `${path}: ${fault}`);
    }),
  ];
};

/** A token carries no namespace: only the webhook sees one, where it denies when it cannot be asked; or a gateway that all pass. */
const namespacesSeen: Rule = ({ clusters = [], policy }) => {
  const blind = clusters
    .filter(({ webhook, gateway }) => webhook?.on_failure !== 'deny' && !gateway?.required)
    .map(({ name }) => name);
  const parts = (['segments', 'rules'] as const).flatMap((list) =>
    (policy?.[list] ?? []).map(({ match }, i) => ({ match, path: formatPath(['policy', list, i, 'match']) })),
  );
  return parts.flatMap(({ match, path }) => {
    if (!match || (!match.namespaces && !match.resources)) return [];
    const unseen = blind.filter((name) => mayMean({ match }, name));
    if (unseen.length === 0) return [];
    return [
      `${path}: namespaces and resources need webhook.on_failure: deny or gateway.required: true, and ${unseen.join(', ')} has neither`,
    ];
  });
};

/** Only a gateway sees what arrives. All targets have one. */
const outputSeen: Rule = ({ clusters, targets = [], policy }) =>
  (policy?.segments ?? []).flatMap(({ match, inactivity }, i) => {
    if (!inactivity || !clusters || clusters.some(({ name, gateway }) => gateway && mayMean({ match }, name)))
      return [];
    if (meansTargets(match) && targets.length > 0) return [];
    return [
      `${formatPath(['policy', 'segments', i, 'inactivity'])}: none of the clusters that are meant has a gateway`,
    ];
  });

/** `["*"]` is everyone elsewhere: here it would make everyone an administrator. */
const adminsNamed: Rule = ({ admins }) =>
  admins?.groups.includes('*')
    ? ['admins.groups: expected groups by their names: "*" would make everyone an administrator']
    : [];

const uniqueRules: Rule = ({ policy }) =>
  repeated((policy?.rules ?? []).map(({ name }) => name)).map(
    (i) => `${formatPath(['policy', 'rules', i, 'name'])}: is there twice`,
  );

interface Meaning {
  readonly match?: Match | undefined;
  /** Of a rule. */
  readonly when?: { readonly uses_target: boolean } | undefined;
}

/** Whether a rule may give limits to something in this cluster. */
function mayMean({ match, when }: Meaning, cluster: string): boolean {
  if (when?.uses_target) return false;
  if (!match) return true;
  return meansClusters(match) && (!match.clusters || matches({ clusters: match.clusters }, { cluster }));
}

const RULES: readonly Rule[] = [
  ...TARGET_RULES,
  tlsUnlessLoopback,
  certificatesCanBePresented,
  oneKey,
  oneOtherKey,
  prefixesNotReserved,
  openidAsked,
  uniqueClusters,
  uniqueSegments,
  audiencesApart,
  audiencesReserved,
  issuersApart,
  credentialWhole,
  gatewayRequired,
  transmittersKnown,
  uniqueRules,
  rulesBounded,
  adminsNamed,
  idleNoticed,
  idleNoticedByRules,
  acrSatisfiable,
  adminsSatisfiable,
  withinPreset,
  namespacesSeen,
  outputSeen,
];

function effective({ clusters, policy }: Given) {
  if (!policy) return [];
  return (clusters ?? []).map((cluster, i) => ({
    name: cluster.name,
    path: formatPath(['clusters', i]),
    limits: resolveLimits(policy, { cluster: cluster.name }, { ...cluster.ceiling }).target,
    /** Whether each request is a use. */
    seen: cluster.webhook !== undefined || cluster.gateway?.required === true,
  }));
}

function repeated(values: readonly string[]): number[] {
  return values.flatMap((value, i) => (values.indexOf(value) < i ? [i] : []));
}
