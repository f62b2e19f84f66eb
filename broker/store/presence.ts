// What a replica that is connected says of itself to the others, and which configuration all of them are to have by that. Pure: all come to
// the same answer.

import type { Seconds } from '../../shared/time.ts';

export interface Presence {
  /** The beginning of the digest of the configuration in force there (SHA-256, hex). */
  readonly digest: string;
  /** When it started. */
  readonly since: Seconds;
  /** When it took its configuration by a reload; 0 where it started with it. */
  readonly reloaded: Seconds;
}

/** Characters of a digest that are told. */
const DIGEST_CHARACTERS = 16;

export function presenceOf(digest: string, since: Seconds, reloaded: Seconds): Presence {
  return { digest: digest.slice(0, DIGEST_CHARACTERS), since, reloaded };
}

/**
 * The one that was taken last by a reload, while a replica has it: somebody wants it. A start moves nothing, as it may be of a machine that
 * was forgotten; without a reload it is the one that most have, and of two that as many have the one that was there first.
 *
 * @returns the beginning of its digest; nothing where no replica is known
 */
export function standardOf(replicas: readonly Presence[]): string | undefined {
  const digests = [...new Set(replicas.map(({ digest }) => digest))];
  const [first] = digests
    .map((digest) => {
      const those = replicas.filter((one) => one.digest === digest);
      return {
        digest,
        reloaded: Math.max(...those.map(({ reloaded }) => reloaded)),
        count: those.length,
        since: Math.min(...those.map(({ since }) => since)),
      };
    })
    .sort(
      (a, b) => b.reloaded - a.reloaded || b.count - a.count || a.since - b.since || (a.digest < b.digest ? -1 : 1),
    );
  return first?.digest;
}
