// What came of a configuration that was read: a row of the audit log, a change that all replicas hear of, a line of the log.

import type { Logger } from 'pino';
import type { PolicyEvent } from './audit_log/events.ts';
import type { Broker } from './broker.ts';
import { exceeding } from './commands/check.ts';
import type { ReloadOutcome } from './config/live.ts';

type RecordParts = Pick<Broker, 'store' | 'now'>;

export async function recordPolicy(
  { store, now }: RecordParts,
  policy: Omit<PolicyEvent, 'event' | 'at'>,
): Promise<void> {
  await store.transaction(async (transaction) => {
    const at = now();
    await transaction.audit({ event: 'policy', at, ...policy });
    if (policy.outcome !== 'refused') transaction.publish({ kind: 'policy', at, digest: policy.digest });
  });
}

export async function recordOutcome(broker: RecordParts, outcome: ReloadOutcome): Promise<void> {
  switch (outcome.outcome) {
    case 'same':
      return;
    case 'reloaded':
      return recordPolicy(broker, { outcome: 'reloaded', digest: outcome.config.digest });
    case 'refused':
      return recordPolicy(broker, { outcome: 'refused', digest: outcome.digest, faults: outcome.faults });
  }
}

export function sayOutcome(outcome: ReloadOutcome, log: Logger): void {
  switch (outcome.outcome) {
    case 'same':
      return;
    case 'reloaded': {
      const { digest, clusters } = outcome.config;
      log.info({ digest }, 'configuration reloaded');
      for (const { text } of clusters.flatMap((cluster) => exceeding(outcome.config, cluster))) log.warn(text);
      return;
    }
    case 'refused':
      log.error({ faults: outcome.faults }, 'configuration not reloaded, the old one stays');
  }
}
