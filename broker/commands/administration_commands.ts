// `curfew-broker store accept` and `clock accept`: what an administrator says about the store as it is, or about the clock as it is.

import type { Logger } from 'pino';
import { EXIT } from '../../shared/errors.ts';
import type { Clock } from '../../shared/time.ts';
import type { ClusterApis } from '../api_servers/apis.ts';
import { sealerOf } from '../audit_log/chain.ts';
import type { AdministrationCommand } from '../audit_log/events.ts';
import { startDeletions } from '../bound_tokens/deletions.ts';
import type { Config } from '../config/settings.ts';
import { settleStore } from '../open_store.ts';
import { declareAllOver } from '../sessions/all_over.ts';
import { countOverdue } from '../sessions/bound_secrets.ts';
import { Touches } from '../sessions/touches.ts';
import { Witness } from '../store/witness.ts';
import { formatTime } from '../text/rfc3339.ts';
import { keysOf } from '../tokens/key_rotation.ts';
import { administer, requireTime } from './administration.ts';
import { sweepRoles } from './role_sweep.ts';

export interface Around {
  /** The machine's: it is what is accepted. */
  readonly now: Clock;
  /** Who runs the command, for the audit log. */
  readonly by: string;
  readonly apis: ClusterApis;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

export interface Accepted {
  readonly lines: readonly string[];
  readonly exit: number;
}

/** What is declared is that everything before now is over. */
export type AcceptCommand = Exclude<AdministrationCommand, 'names free'>;

/**
 * Declares everything before now over, and takes away every Secret of ours, also those that this store does not know. Works beside
 * a broker that runs, which takes the other keys with its next transaction.
 *
 * @throws CurfewError `configuration` when there is no store of this version, `store` when it fails, `clock` when a store is to be
 *   accepted by a clock that is behind it
 */
export async function accept(command: AcceptCommand, config: Config, around: Around): Promise<Accepted> {
  const { now, by, apis, log } = around;
  return administer(
    config,
    async (store) => {
      if (command === 'store accept') await requireTime(store, now(), OR_THE_STORE);
      const known_epoch = knownEpoch(config);
      const declaration = { command, by, now: now(), keys: keysOf(config), known_epoch };
      const sessions = await store.transaction((transaction) => declareAllOver(transaction, declaration));
      const looking = { store, config, apis, log, now, touches: new Touches() };
      const deletions = startDeletions(looking);
      const unseen = await deletions.sweep();
      await deletions.stop();
      const roles = await sweepRoles(looking);
      await settleStore(store, config.store, sealerOf(config));
      const overdue = await store.read((db) => countOverdue(db, now()));
      const left = [
        ...[...overdue].map(
          ([cluster, count]) => `warning: cluster ${cluster}: ${count} Secrets are still to be deleted`,
        ),
        ...unseen.map(
          (cluster) => `warning: cluster ${cluster}: Secrets that this store does not know could not be looked for`,
        ),
        ...roles,
      ];
      const clock = command === 'clock accept' ? [`ok: the clock holds as it is: ${formatTime(now())}`] : [];
      return {
        lines: [
          ...clock,
          `ok: everything before now is over: ${sessions} active ${sessions === 1 ? 'session' : 'sessions'} ended, other keys sign`,
          ...left,
          ...(left.length > 0 ? ['warning: the broker continues with them as soon as it runs'] : []),
        ],
        exit: left.length > 0 ? EXIT.try_again : EXIT.done,
      };
    },
    { make: command === 'store accept' },
  );
}

/** Of its witness, where there is one that can be read. */
function knownEpoch(config: Config): number {
  const { witness_file } = config.store;
  const witness = witness_file === undefined ? undefined : new Witness(witness_file, sealerOf(config));
  const known = witness?.there ? witness.read() : [];
  return Math.max(0, ...known.map(({ server }) => server?.epoch ?? 0));
}

const OR_THE_STORE = 'correct the clock; where it is the store that is wrong, run: curfew-broker clock accept';
