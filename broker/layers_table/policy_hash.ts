// By what a rendered object says which limits it was made of.

import { createHash } from 'node:crypto';
import type { WholeLimits } from '../../shared/limits.ts';

/** On every object, and in every file: of which limits it was made. */
export const POLICY_HASH = 'curfew.internal/policy-hash';

/**
 * The same for the same limits of the same segment, whatever the layer and the target: one that differs says that the policy has changed
 * since.
 */
export function policyHash(segment: string, limits: WholeLimits): string {
  const { max_age, inactivity_timeout, token_ttl } = limits;
  const text = JSON.stringify([1, segment, max_age, inactivity_timeout, token_ttl]);
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
