// What the broker that runs counts, where its metrics are served on this machine; not where only those may read them who have a certificate.

import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { Config, Listen } from '../config/settings.ts';
import { type Ask, isSilent, type Question } from './ask.ts';

export interface Figures {
  /** TokenReviews so far. */
  readonly asked: () => Promise<number | undefined>;
  /** Gateways of a cluster that are connected. */
  readonly feeds: (cluster: string) => Promise<number | undefined>;
}

export function createFigures({ metrics }: Pick<Config, 'metrics'>, ask: Ask): Figures {
  const read = async (matches: (line: string) => boolean): Promise<number | undefined> => {
    const question = metrics && (await questionFor(metrics));
    if (!question) return undefined;
    const answer = await ask(question);
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

/** @returns nothing where its own certificate cannot be read from here */
async function questionFor({ address, port, tls }: Listen): Promise<Question | undefined> {
  const where = `${hostOf(address)}:${port}/metrics`;
  if (!tls) return { url: `http://${where}` };
  try {
    return { url: `https://${where}`, pinned: new X509Certificate(await readFile(tls.cert_file)) };
  } catch {
    return undefined;
  }
}

/** Where all are listened on, this machine is one of them. */
function hostOf(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1';
  if (address === '::') return '[::1]';
  return isIP(address) === 6 ? `[${address}]` : address;
}
