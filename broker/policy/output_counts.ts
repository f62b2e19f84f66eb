// Which streams may put off their own idle cut by what arrives. It counts for that very stream alone: what arrives is not a use of a session.

import { CLUSTER_STREAM_KINDS, type StreamKind } from '../../shared/gateway_events.ts';
import { matches, type Target } from '../../shared/policy.ts';
import { TARGET_KINDS } from '../../shared/targets.ts';
import type { BrokerPolicy } from '../config/settings.ts';

/** @returns what every segment allows that matches, of the kinds that there are at such a target; nothing where none does */
export function outputCounts({ segments }: Pick<BrokerPolicy, 'segments'>, target: Target): readonly StreamKind[] {
  const matching = segments.filter(({ match }) => matches(match, target));
  if (matching.length === 0) return [];
  const kinds: readonly StreamKind[] = target.target === undefined ? CLUSTER_STREAM_KINDS : TARGET_KINDS;
  return kinds.filter((kind) => matching.every(({ inactivity }) => inactivity?.output_counts.includes(kind)));
}
