// `check --live`: what runs, looked at from this machine: the broker, its store, and all that it works with. Changes nothing; the
// tokens that API servers are asked with are nobody's, for half a minute.

import { trustedRoots } from '../../serving/net/roots.ts';
import { CurfewError } from '../../shared/errors.ts';
import type { Clock } from '../../shared/time.ts';
import type { Config } from '../config/settings.ts';
import { type Discovery, discoveryUrl } from '../upstream/discovery.ts';
import { lookAtApiServers, otherKeys } from './api_server.ts';
import { type Ask, createAsk, isSilent } from './ask.ts';
import { lookAtDatabase } from './database.ts';
import { createFigures } from './figures.ts';
import { lookAtGateway } from './gateway.ts';
import { lookAtIssuer, lookAtKeys } from './issuer.ts';
import { fine, type Seen, wrong } from './seen.ts';
import { lookAtTransmitter } from './signals.ts';
import { lookAtStore, type OpenStore } from './store.ts';
import { BROKER, compareClocks, type Heard, lookAtCertificates } from './times.ts';
import { lookAtWebhooks } from './webhook.ts';

export interface LookParts {
  readonly now: Clock;
  /** Seconds since 1970, with their parts. */
  readonly exact: () => number;
  /** Milliseconds, by a clock that is never set. */
  readonly elapsed: () => number;
  readonly identityProvider: { refresh(): Promise<Discovery> };
  /** Milliseconds that a security event that was asked for may take. */
  readonly patience_ms?: number;
}

export async function lookAtAll(config: Config, parts: LookParts): Promise<readonly Seen[]> {
  const ask = createAsk(parts.now);
  const store = await lookAtStore(config, parts.now, parts.exact);
  try {
    return await lookBeside(config, parts, ask, store);
  } finally {
    await store.close();
  }
}

async function lookBeside(config: Config, parts: LookParts, ask: Ask, store: OpenStore): Promise<readonly Seen[]> {
  const { now, elapsed, patience_ms } = parts;
  const { keys } = store;
  const heard: (Heard[number] | undefined)[] = [];
  const [broker, ours] = await lookAtIssuer(config, ask);
  if (ours) heard.push([BROKER, ours]);
  const kids = keys?.jwks.keys.map(({ kid }) => kid);
  const served = await lookAtKeys(config, ask, kids, keys?.signing.kid);
  const [provider, theirs] = await lookAtProvider(config, parts, ask);
  heard.push(theirs);
  const figures = createFigures(config, ask);
  const others = keys ? otherKeys(keys) : [];
  const at = { config, ask, now, signing: keys?.signing };
  const servers = await Promise.all(
    config.clusters.map((cluster) =>
      lookAtApiServers(cluster, { ...at, others, asked: figures.asked, broker: broker.state === 'ok' }),
    ),
  );
  heard.push(...servers.flatMap(({ answers }) => answers));
  const reviews = await Promise.all(config.clusters.map((cluster) => lookAtWebhooks(config, cluster, ask)));
  const gateways = await Promise.all(
    config.clusters.map((cluster) => lookAtGateway(cluster, { ...at, feeds: figures.feeds })),
  );
  for (const found of gateways) if (found?.[1]) heard.push([found[0].of ?? 'gateway', found[1]]);
  const { source_addresses = [] } = config.target_gateway ?? {};
  const databases = await Promise.all(
    config.targets.flatMap((target) => (target.kind === 'postgres' ? [lookAtDatabase(target, source_addresses)] : [])),
  );
  const signals = await Promise.all(
    config.ssf.map((one) =>
      lookAtTransmitter(one, {
        ask,
        now,
        signals: store.signals,
        elapsed,
        ...(patience_ms !== undefined && { patience_ms }),
      }),
    ),
  );
  const all = heard.filter((one) => one !== undefined);
  return [
    ...[broker, served, ...store.seen, provider],
    ...reviews.flat(),
    ...servers.flatMap(({ seen }) => seen),
    ...gateways.flatMap((found) => (found ? [found[0]] : [])),
    ...databases.flat(),
    ...signals,
    ...lookAtCertificates(all, now()),
    ...compareClocks(all, store.ahead, store.behind),
  ];
}

async function lookAtProvider(
  { identity_provider: { issuer, ca } }: Config,
  { identityProvider }: LookParts,
  ask: Ask,
): Promise<readonly [Seen, (Heard[number] | undefined)?]> {
  const answer = await ask({ url: discoveryUrl(issuer), ca: trustedRoots(ca) });
  const heard = isSilent(answer) ? undefined : ([issuer, answer] as const);
  try {
    await identityProvider.refresh();
    return [fine('identity_provider', issuer, 'its metadata and keys are read'), heard];
  } catch (error) {
    if (!(error instanceof CurfewError)) throw error;
    return [wrong('identity_provider', issuer, error.message, error.hint), heard];
  }
}
