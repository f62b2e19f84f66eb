// `curfew-broker check`: looks at a loaded configuration and at the identity provider, and says what will not work, what
// may not, and what does. Changes nothing.

import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { formatDuration } from '../shared/duration.ts';
import { type Code, CurfewError, EXIT, meaning } from '../shared/errors.ts';
import { globMatches, resolveLimits } from '../shared/policy.ts';
import type { Seconds } from '../shared/time.ts';
import { type Cluster, type Config, clusterLimits } from './config.ts';
import { readTlsPair } from './tls.ts';
import type { Discovery } from './upstream/discovery.ts';
import { checkDiscovery } from './upstream/discovery_check.ts';

export interface Finding {
  readonly level: 'ok' | 'warning' | 'error';
  readonly text: string;
  /** Of an error: gives the exit status. */
  readonly code?: Code | undefined;
}

export const ok = (text: string): Finding => ({ level: 'ok', text });
export const warning = (text: string): Finding => ({ level: 'warning', text });
export const error = (text: string, code: Code = 'configuration'): Finding => ({ level: 'error', text, code });

export interface Checked {
  readonly findings: readonly Finding[];
  /** 0 without errors; 78 for a setting to correct, 69 when only the identity provider is out of reach. */
  readonly exit: number;
}

/** @param identityProvider asked once, for its metadata and keys */
export async function check(
  config: Config,
  identityProvider: { refresh(): Promise<Discovery> },
  now: Seconds,
): Promise<Checked> {
  const findings = [
    ok(`${config.file}: ${count(config.clusters, 'cluster')}, ${count(config.policy.segments, 'segment')}`),
    ...config.clusters.flatMap((cluster) => checkCluster(config, cluster)),
    ...idleSegments(config),
    ...(await checkCertificate(config, now)),
    ...(await checkIdentityProvider(config, identityProvider)),
  ];
  return { findings, exit: exitOf(findings) };
}

/** One line each: `ok: …`, `warning: …`, `error: …`. */
export function formatFindings(findings: readonly Finding[]): string {
  return findings.map(({ level, text }) => `${level}: ${text}\n`).join('');
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
function exceeding({ policy }: Config, { name, ceiling }: Cluster): Finding[] {
  const { target } = resolveLimits(policy, { cluster: name });
  return (['max_age', 'token_ttl'] as const).flatMap((key) => {
    const cap = ceiling?.[key];
    if (cap === undefined || target[key] <= cap) return [];
    const [policys, ceilings] = [formatDuration(target[key]), formatDuration(cap)];
    return [warning(`cluster ${name}: the policy's ${key} ${policys} exceeds the ceiling ${ceilings}, which holds`)];
  });
}

/** A glob with a slip of the pen leaves a cluster without the limits that someone meant for it. */
function idleSegments({ policy, clusters }: Config): Finding[] {
  return policy.segments
    .filter(({ match }) => !clusters.some(({ name }) => match.clusters.some((glob) => globMatches(glob, name))))
    .map(({ name }) => warning(`policy.segments: ${name} matches no cluster`));
}

async function checkCertificate({ listen, issuer }: Config, now: Seconds): Promise<Finding[]> {
  if (!listen.tls) return [warning('listen: plain HTTP on a loopback address: something in front must speak https')];
  try {
    const certificate = new X509Certificate((await readTlsPair(listen.tls)).cert);
    const { hostname } = new URL(issuer);
    const host = hostname.replace(/^\[(.*)\]$/, '$1');
    const fits = isIP(host) ? certificate.checkIP(host) : certificate.checkHost(host);
    const lapse = Math.floor(certificate.validToDate.getTime() / 1000);
    return [
      ...(fits ? [] : [warning(`listen.tls: the certificate is not for ${host}, the host of issuer`)]),
      ...(lapse <= now ? [error('listen.tls: the certificate has expired')] : []),
      ...(lapse > now && lapse < now + 7 * 86_400
        ? [warning('listen.tls: the certificate expires within 7 days')]
        : []),
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
    return [error(fault.message, fault.code)];
  }
}

function count(things: readonly unknown[], word: string): string {
  return `${things.length} ${word}${things.length === 1 ? '' : 's'}`;
}
