// `curfew-broker check`: looks at a loaded configuration and at the identity provider, and says what will not work, what
// may not, and what does. Changes nothing.

import { X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import { isIP } from 'node:net';
import { readTlsPair } from '../../serving/config/tls.ts';
import { formatDuration } from '../../shared/duration.ts';
import { CurfewError, EXIT, meaning } from '../../shared/errors.ts';
import { combine } from '../../shared/limits.ts';
import { resolveLimits } from '../../shared/policy.ts';
import { fromMilliseconds, type Seconds } from '../../shared/time.ts';
import { TOKEN_LIFE_SECONDS } from '../api_servers/api.ts';
import type { ClusterApis } from '../api_servers/apis.ts';
import { clusterLimits, strictestLimits } from '../config/clusters.ts';
import type { Cluster, Config } from '../config/settings.ts';
import type { Discovery } from '../upstream/discovery.ts';
import { checkClientAuthorities } from './client_authorities.ts';
import { checkApiServer } from './cluster_check.ts';
import { checkDiscovery } from './discovery_check.ts';
import { error, type Finding, ok, warning } from './finding.ts';
import { checkGateway } from './gateway_check.ts';
import { idleMatches } from './idle_matches.ts';
import { checkLapse } from './lapse.ts';
import { checkTargets } from './target_check.ts';

export interface Checked {
  /** One line each: `ok: …`, `note: …`, `warning: …`, `error: …`. */
  readonly lines: readonly string[];
  /** 0 without errors; 78 for a setting to correct, 69 when only the identity provider is out of reach. */
  readonly exit: number;
}

/**
 * @param identityProvider asked once, for its metadata and keys
 * @param apis asked for what the broker may do in clusters with `credential: service-account`
 * @param now for the server certificate's end
 */
export async function check(
  config: Config,
  identityProvider: { refresh(): Promise<Discovery> },
  apis: Pick<ClusterApis, 'of'>,
  now: Seconds,
): Promise<Checked> {
  const findings = [
    ok(
      `${config.file}: ${count(config.clusters, 'cluster')}, ${config.targets.length === 0 ? '' : `${count(config.targets, 'target')}, `}${count(config.policy.segments, 'segment')}, ${count(config.policy.rules, 'rule')}`,
    ),
    ...config.clusters.flatMap((cluster) => checkCluster(config, cluster)),
    ...checkTargets(config),
    ...idleMatches(config),
    ...factors(config),
    ...(await checkApiServers(config, apis)),
    ...(await Promise.all(config.clusters.map((cluster) => checkGateway(cluster, now)))).flat(),
    ...checkStore(config),
    ...(await checkCertificate(config, now)),
    ...(await checkIdentityProvider(config, identityProvider)),
  ];
  return { lines: findings.map(({ level, text }) => `${level}: ${text}`), exit: exitOf(findings) };
}

function exitOf(findings: readonly Finding[]): number {
  const exits = findings.flatMap(({ code }) => (code === undefined ? [] : [meaning(code).exit]));
  return exits.includes(EXIT.configuration) ? EXIT.configuration : (exits[0] ?? EXIT.done);
}

function checkCluster(config: Config, cluster: Cluster): Finding[] {
  const { target } = clusterLimits(config, cluster);
  const says = (['max_age', 'inactivity_timeout', 'token_ttl'] as const).map(
    (key) => `${key} ${formatDuration(target[key])}`,
  );
  return [
    ok(`cluster ${cluster.name}: ${says.join(', ')}${target.acr ? `, acr ${target.acr.join(' or ')}` : ''}`),
    ...exceeding(config, cluster),
    ...(strictestLimits(config, cluster).target.acr?.length === 0
      ? [warning(`cluster ${cluster.name}: no acr satisfies all its namespaces: requests over all of them are denied`)]
      : []),
    ...(cluster.credential === 'service-account' && target.token_ttl > TOKEN_LIFE_SECONDS
      ? [
          warning(
            `cluster ${cluster.name}: token_ttl is ${TOKEN_LIFE_SECONDS}s there at most, as tokens of the cluster live no longer`,
          ),
        ]
      : []),
    ...(target.token_ttl < 30
      ? [
          warning(
            `cluster ${cluster.name}: token_ttl ${target.token_ttl}s is short: a token is served until 10s before its end`,
          ),
        ]
      : []),
  ];
}

/** The API server keeps its ceiling until someone changes it there: a looser policy has no effect on that cluster. */
export function exceeding({ policy }: Pick<Config, 'policy'>, { name, ceiling }: Cluster): Finding[] {
  const { target } = resolveLimits(policy, { cluster: name });
  return (['max_age', 'token_ttl'] as const).flatMap((key) => {
    const cap = ceiling?.[key];
    if (cap === undefined || target[key] <= cap) return [];
    const [policys, ceilings] = [formatDuration(target[key]), formatDuration(cap)];
    return [warning(`cluster ${name}: the policy's ${key} ${policys} exceeds the ceiling ${ceilings}, which holds`)];
  });
}

/** A level of assurance is a matter of factors too, and only an `acr` says which were used. */
function factors({ policy }: Config): Finding[] {
  const parts = [
    { path: 'policy', preset: policy.preset, limits: policy.limits },
    ...policy.segments.map(({ name, preset, limits }) => ({
      ...{ path: `policy.segments: ${name}`, preset },
      limits: combine(policy.limits, limits),
    })),
  ];
  return parts.flatMap(({ path, preset, limits }) =>
    (preset === 'aal2' || preset === 'aal3') && limits.acr === undefined
      ? [warning(`${path}: preset ${preset} without acr: that two factors were used is left to the identity provider`)]
      : [],
  );
}

async function checkApiServers({ clusters }: Config, apis: Pick<ClusterApis, 'of'>): Promise<Finding[]> {
  return (await Promise.all(clusters.map((cluster) => checkApiServer(cluster, apis)))).flat();
}

const NO_WITNESS = 'store.witness_file: false: a store that was put back is not noticed';
const NO_WITNESS_OF_DATABASE =
  'store.witness_file: not given: a database that was put back while no broker ran is not noticed';

/** Whoever can read them has everybody's sessions; whoever can write them is the broker. */
function checkStore({ store: { sqlite, witness_file } }: Config): Finding[] {
  const files = [
    ...(sqlite ? [sqlite.file, `${sqlite.file}-wal`, `${sqlite.file}-shm`] : []),
    ...(witness_file === undefined ? [] : [witness_file]),
  ];
  const open = files.flatMap((file) => {
    const mode = (statSync(file, { throwIfNoEntry: false })?.mode ?? 0) & 0o777;
    if ((mode & 0o077) === 0) return [];
    const said = mode.toString(8).padStart(4, '0');
    return [
      warning(`store: ${file} is open to others (mode ${said}): the next start makes it 0600; until then: chmod 600`),
    ];
  });
  const none = witness_file === undefined ? [warning(sqlite ? NO_WITNESS : NO_WITNESS_OF_DATABASE)] : [];
  return [...open, ...none];
}

async function checkCertificate({ listen, issuer, clusters }: Config, now: Seconds): Promise<Finding[]> {
  if (!listen.tls) return [warning('listen: plain HTTP on a loopback address: something in front must speak https')];
  try {
    const { cert, client_ca } = await readTlsPair(listen.tls);
    const certificate = new X509Certificate(cert);
    const host = new URL(issuer).hostname.replace(/^\[(.*)\]$/, '$1');
    const fits = isIP(host) ? certificate.checkIP(host) : certificate.checkHost(host);
    return [
      ...(fits ? [] : [warning(`listen.tls: the certificate is not for ${host}, the host of issuer`)]),
      ...checkLapse('listen.tls', fromMilliseconds(certificate.validToDate.getTime()), now),
      ...checkClientAuthorities(client_ca, clusters, now),
    ];
  } catch (fault) {
    return [error(fault instanceof CurfewError ? fault.message : 'listen.tls: the certificate cannot be parsed')];
  }
}

async function checkIdentityProvider(
  config: Config,
  { refresh }: { refresh(): Promise<Discovery> },
): Promise<Finding[]> {
  try {
    return checkDiscovery(config, await refresh());
  } catch (fault) {
    if (!(fault instanceof CurfewError)) throw fault;
    // With a hint of its own something is to be corrected; else the provider is away.
    const away = fault.hint === meaning(fault.code).hint;
    return [error(away ? fault.message : `${fault.message}: ${fault.hint}`, away ? fault.code : 'configuration')];
  }
}

function count(things: readonly unknown[], word: string): string {
  return `${things.length} ${word}${things.length === 1 ? '' : 's'}`;
}
