// Gateways: whether people reach them, by a certificate that kubectl believes, and whether they hear the broker.

import { type Clock, seconds } from '../../shared/time.ts';
import type { Cluster, Config } from '../config/settings.ts';
import type { SigningKey } from '../tokens/keys.ts';
import { probeToken } from '../tokens/probe_token.ts';
import { type Answer, type Ask, isSilent } from './ask.ts';
import { fine, type Seen, unknown, wrong } from './seen.ts';

const PROBE = seconds(30);

export interface GatewayLook {
  readonly config: Config;
  readonly ask: Ask;
  readonly now: Clock;
  readonly signing?: SigningKey | undefined;
  /** Feeds of the cluster at this broker, where its metrics are read. */
  readonly feeds: (cluster: string) => Promise<number | undefined>;
}

export async function lookAtGateway(
  cluster: Cluster,
  { config, ask, now, signing, feeds }: GatewayLook,
): Promise<readonly [Seen, Answer?] | undefined> {
  const { gateway, name } = cluster;
  if (!gateway) return undefined;
  const of = `${name} ${gateway.url}`;
  const bearer = signing && probeToken(config, cluster, signing, now(), PROBE);
  const answer = await ask({ url: `${gateway.url.replace(/\/$/, '')}/version`, ca: gateway.ca, bearer });
  if (isSilent(answer)) {
    const todo = answer.certificate
      ? 'let clusters[].gateway.ca_file hold the authority that signed it'
      : 'see that it runs, and that clusters[].gateway.url leads to it';
    return [wrong('gateway', of, answer.silent, todo)];
  }
  if (answer.text.includes('lost_broker') || answer.status === 503) {
    const todo =
      'see its log, its broker.url and ca_file, and that its broker.token_file holds the token of clusters[].gateway.token_file: curfew-gateway check, on its machine';
    return [wrong('gateway', of, 'answers, and does not hear the broker', todo), answer];
  }
  const count = await feeds(name);
  if (count === 0) {
    const says = 'answers, and no gateway of this cluster is connected to this broker';
    return [
      unknown(
        'gateway',
        of,
        says,
        'with several brokers it may be connected to another: see curfew_gateway_feeds of each',
      ),
      answer,
    ];
  }
  if (count === undefined && bearer === undefined)
    return [unknown('gateway', of, 'answers; whether it hears the broker was not asked', 'see the store'), answer];
  return [
    fine(
      'gateway',
      of,
      count === undefined ? 'answers, and hears the broker' : `answers; ${count} connected to this broker`,
    ),
    answer,
  ];
}
