// What came of a configuration that was read: a row of the audit log, a change that all replicas hear of, a line of the log.

import type { Logger } from 'pino';
import { CurfewError } from '../shared/errors.ts';
import type { PolicyEvent } from './audit_log/events.ts';
import type { Broker } from './broker.ts';
import { exceeding } from './commands/check.ts';
import type { ReloadOutcome } from './config/live.ts';
import type { Config } from './config/settings.ts';
import { encryptionOf } from './encryption.ts';
import { requireReadableCaKeys } from './ssh/ca_keys.ts';
import type { Store } from './store/store.ts';
import { keysOf } from './tokens/key_rotation.ts';
import { noteLongest, requireReadableKeys } from './tokens/keys.ts';

type RecordParts = Pick<Broker, 'store' | 'now'>;

/** @param taken the configuration that comes into force with it */
export async function recordPolicy(
  { store, now }: RecordParts,
  policy: Omit<PolicyEvent, 'event' | 'at'>,
  taken?: Config,
): Promise<void> {
  await store.transaction(async (transaction) => {
    const at = now();
    if (taken) await noteLongest(transaction, keysOf(taken).longest_token);
    await transaction.audit({ event: 'policy', at, ...policy });
    if (policy.outcome !== 'refused') transaction.publish({ kind: 'policy', at, digest: policy.digest });
  });
}

export async function recordOutcome(broker: RecordParts, outcome: ReloadOutcome): Promise<void> {
  switch (outcome.outcome) {
    case 'same':
      return;
    case 'reloaded':
      return recordPolicy(broker, { outcome: 'reloaded', digest: outcome.config.digest }, outcome.config);
    case 'refused':
      return recordPolicy(broker, { outcome: 'refused', digest: outcome.digest, faults: outcome.faults });
  }
}

/** What the store holds must be readable by the keys that are to hold. */
export async function judgeKeys(store: Pick<Store, 'read'>, outcome: ReloadOutcome): Promise<ReloadOutcome> {
  if (outcome.outcome !== 'reloaded') return outcome;
  const { config } = outcome;
  try {
    await store.read(async (db) => {
      await requireReadableKeys(db, encryptionOf(config));
      await requireReadableCaKeys(db, encryptionOf(config));
    });
    return outcome;
  } catch (error) {
    if (!(error instanceof CurfewError) || error.code !== 'configuration') throw error;
    return { outcome: 'refused', digest: config.digest, faults: [error.message] };
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
