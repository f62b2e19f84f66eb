// What a person gets at a cluster, and how soon an end takes effect there, in words.

import type { MetadataCluster } from '../../shared/metadata.ts';
import type { Seconds } from '../../shared/time.ts';

export type EndEffect = Pick<MetadataCluster, 'name' | 'credential' | 'end_within'>;

/** `at the next request`, `within 11s`, `within 5m 10s`: a bound is never rounded down. */
export function sayWithin(end_within: Seconds): string {
  if (end_within === 0) return 'at the next request';
  if (end_within < 120) return `within ${end_within}s`;
  const rest = end_within % 60;
  return `within ${Math.floor(end_within / 60)}m${rest === 0 ? '' : ` ${rest}s`}`;
}

/** One line for all clusters, those that are alike together: `dev at the next request; prod within 5m 10s`. */
export function sayEffects(clusters: readonly EndEffect[]): string {
  const names = new Map<string, string[]>();
  for (const { name, credential, end_within } of clusters) {
    const kind = credential === 'service-account' ? ' (service account)' : '';
    const words = `${kind} ${sayWithin(end_within)}`;
    names.set(words, [...(names.get(words) ?? []), name]);
  }
  return [...names].map(([words, alike]) => `${alike.join(', ')}${words}`).join('; ');
}
