// What the broker that runs counts, where its metrics are served on this machine.

import { isIP } from 'node:net';
import type { Config } from '../config/settings.ts';
import { type Ask, isSilent } from './ask.ts';

export interface Figures {
  /** TokenReviews so far. */
  readonly asked: () => Promise<number | undefined>;
  /** Gateways of a cluster that are connected. */
  readonly feeds: (cluster: string) => Promise<number | undefined>;
}

export function createFigures({ metrics }: Pick<Config, 'metrics'>, ask: Ask): Figures {
  const read = async (matches: (line: string) => boolean): Promise<number | undefined> => {
    if (!metrics) return undefined;
    const answer = await ask({ url: `http://${hostOf(metrics.address)}:${metrics.port}/metrics` });
    if (isSilent(answer) || answer.status !== 200) return undefined;
    const values = answer.text
      .split('\n')
      .filter(matches)
      .map((line) => Number(line.split(' ').at(-1)));
    return values.reduce((sum, value) => sum + value, 0);
  };
  return {
    asked: () => read((line) => /^curfew_webhook_duration_seconds_count\{[^}]*webhook="authenticate"/.test(line)),
    feeds: (cluster) => read((line) => line.startsWith(`curfew_gateway_feeds{cluster="${cluster}"} `)),
  };
}

/** Where all are listened on, this machine is one of them. */
function hostOf(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1';
  if (address === '::') return '[::1]';
  return isIP(address) === 6 ? `[${address}]` : address;
}
