// Takes away the Secrets of sessions that are over, and all tokens with them. What is due is in the store: it is tried until it
// is done, also after a crash, and overdue ones come first.

import { every, pauseAfter } from '../../serving/background.ts';
import { CurfewError } from '../../shared/errors.ts';
import { plus, seconds } from '../../shared/time.ts';
import { TOKEN_LIFE_SECONDS } from '../api_servers/api.ts';
import type { Broker } from '../broker.ts';
import type { Cluster } from '../config/settings.ts';
import type { Turn } from '../leases/turn.ts';
import {
  adoptUnknown,
  type BoundSecret,
  dueSecrets,
  forgetSecret,
  heldSecrets,
  labelsOf,
  postponeCluster,
  postponeSecret,
  reviewSecret,
} from '../sessions/bound_secrets.ts';
import { findBySid } from '../sessions/find.ts';
import { type Lease, requireLease } from '../store/lease.ts';
import { isBeingMade } from './bound_token.ts';

/** Milliseconds between two looks at what is due. */
const EVERY_MS = 500;
/** Milliseconds between two looks at what there is in the clusters, and at all that is active. */
const SWEEP_MS = 60_000;
const AT_ONCE = 200;
/** Requests to one API server at a time. */
const PARALLEL = 8;
/** The longest pause between two tries. */
const LONGEST_PAUSE_SECONDS = 10;

/** What it takes to look after Secrets. */
export type Looking = Pick<Broker, 'store' | 'config' | 'touches' | 'apis' | 'log' | 'now'> & {
  /** Of one replica at a time; a command of an administrator does not wait for its turn. */
  readonly turn?: Pick<Turn, 'mine'>;
};

export interface Deletions {
  /** Something has ended: looks at once. */
  wake(): void;
  /**
   * Makes one round of everything.
   *
   * @returns when it is done: the clusters in which there may be Secrets that no row knows, as nobody could look
   */
  sweep(): Promise<readonly string[]>;
  stop(): Promise<void>;
}

export function startDeletions(broker: Looking): Deletions {
  const fail = (error: unknown) => sayFailure(broker, error);
  const due = every(EVERY_MS, () => deleteDue(broker), fail);
  let unseen: readonly string[] = [];
  const everything = every(
    SWEEP_MS,
    async () => {
      if (broker.turn && !(await broker.turn.mine())) return;
      // Until it is known: a round that fails has looked nowhere.
      unseen = broker.config.clusters.filter(({ service_accounts }) => service_accounts).map(({ name }) => name);
      await reviewAll(broker);
      unseen = await deleteLeftOvers(broker);
      void due.wake();
    },
    fail,
  );
  void due.wake();
  void everything.wake();
  return {
    wake: () => void due.wake(),
    async sweep() {
      await everything.wake();
      await due.wake();
      return unseen;
    },
    async stop() {
      await Promise.all([due.stop(), everything.stop()]);
    },
  };
}

function sayFailure({ log }: Looking, error: unknown): void {
  const reason = error instanceof CurfewError ? error.message : 'unexpected error';
  log.error({ reason }, 'Secrets of ended sessions could not be looked after: trying again');
}

/** Looks at all that is due: what is to go is taken away, each cluster by itself. */
async function deleteDue(broker: Looking): Promise<void> {
  for (let more = true; more; ) {
    const lease = await broker.turn?.mine();
    if (broker.turn && !lease) return;
    const due = await broker.store.read((db) => dueSecrets(db, broker.now(), AT_ONCE));
    if (due.length === 0) return;
    const leaving = await reviewEach(broker, due);
    const clusters = [...new Set(leaving.map(({ cluster }) => cluster))];
    const done = await Promise.all(
      clusters.map((name) =>
        deleteOf(
          broker,
          name,
          leaving.filter(({ cluster }) => cluster === name),
          lease,
        ),
      ),
    );
    more = due.length === AT_ONCE && !done.includes(false);
  }
}

/** @returns those that are to go */
async function reviewEach(broker: Looking, secrets: readonly BoundSecret[]): Promise<readonly BoundSecret[]> {
  const { store, touches, now } = broker;
  return store.transaction(async (transaction) => {
    const { config } = broker;
    const leaving: BoundSecret[] = [];
    for (const secret of secrets) {
      const found = await findBySid(transaction.db, secret.sid);
      const [session] = found ? await touches.apply(transaction, [found]) : [];
      if (await reviewSecret(transaction, config, secret, session, now())) leaving.push(secret);
    }
    return leaving;
  });
}

/** @returns false when the API server did not do it: what is left is tried after a pause */
async function deleteOf(
  broker: Looking,
  name: string,
  secrets: readonly BoundSecret[],
  lease: Lease | undefined,
): Promise<boolean> {
  const cluster = broker.config.clusters.find((candidate) => candidate.name === name);
  if (cluster?.credential !== 'service-account') return dropOutlived(broker, name, secrets);
  const left = secrets.filter((secret) => !isBeingMade(secret));
  let failure: CurfewError | undefined;
  const work = async () => {
    for (let secret = left.shift(); secret && !failure; secret = left.shift()) {
      try {
        await deleteOne(broker, cluster, secret, lease);
      } catch (error) {
        if (!(error instanceof CurfewError) || error.code === 'store' || error.code === 'busy') throw error;
        failure = error;
      }
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  if (failure) await postpone(broker, name, secrets, failure);
  return failure === undefined;
}

/** @param lease of whoever is to record it: another replica that has taken over does it once more, and records it */
async function deleteOne(
  { apis, store, now }: Looking,
  cluster: Cluster,
  secret: BoundSecret,
  lease: Lease | undefined,
): Promise<void> {
  const { namespace, name, uid, sid } = secret;
  await apis.of(cluster).deleteSecret({ namespace, name, ...(uid !== null && { uid }) });
  await store.transaction(async (transaction) => {
    if (lease) await requireLease(transaction, lease);
    const session = await findBySid(transaction.db, sid);
    const who = session && { iss: session.iss, sub: session.sub, username: session.username };
    await forgetSecret(transaction, name);
    const due_at = secret.over_at < now() ? secret.over_at : now();
    await transaction.audit({
      ...{ event: 'secret_deleted', at: now(), ...(sid !== '' && { sid }), ...who },
      ...{ cluster: cluster.name, namespace, secret: name, due_at },
    });
  });
}

/** All of a cluster that is away waits together, so that none is asked for in vain again and again. */
async function postpone(broker: Looking, cluster: string, secrets: readonly BoundSecret[], failure: CurfewError) {
  const { store, log, now } = broker;
  const attempts = Math.max(...secrets.map((secret) => secret.attempts));
  const next_at = plus(now(), pauseAfter(attempts, LONGEST_PAUSE_SECONDS));
  log.error(
    { cluster, reason: failure.message, waiting: secrets.length, attempts: attempts + 1 },
    'Secrets of ended sessions could not be deleted: trying again',
  );
  await store.transaction((transaction) => postponeCluster(transaction, cluster, { next_at, attempts: attempts + 1 }));
}

/** Of a cluster that is no longer in the configuration: nobody can ask it. Its tokens die by themselves. */
async function dropOutlived(broker: Looking, cluster: string, secrets: readonly BoundSecret[]): Promise<boolean> {
  const { store, log, now } = broker;
  const outlived = secrets.filter(({ over_at }) => now() >= plus(over_at, seconds(TOKEN_LIFE_SECONDS)));
  if (outlived.length > 0) {
    log.error(
      { cluster, secrets: outlived.length },
      'Secrets left in a cluster that is not in the configuration any more',
    );
  }
  await store.transaction(async (transaction) => {
    for (const secret of secrets) {
      if (outlived.includes(secret)) await forgetSecret(transaction, secret.name);
      else await postponeSecret(transaction, secret.name, plus(now(), seconds(LONGEST_PAUSE_SECONDS)));
    }
  });
  return true;
}

/** All that is active, by the configuration in force: a policy that was tightened acts on Secrets too. */
async function reviewAll(broker: Looking): Promise<void> {
  for (let after = '', more = true; more; ) {
    const page = await broker.store.read((db) => heldSecrets(db, after, AT_ONCE));
    if (page.length > 0) await reviewEach(broker, page);
    after = page.at(-1)?.name ?? '';
    more = page.length === AT_ONCE;
  }
}

/**
 * What bears our labels in a cluster and is in no row: made when an answer was lost, or of a store that was put back.
 *
 * @returns the clusters in which nobody could look
 */
async function deleteLeftOvers(broker: Looking): Promise<readonly string[]> {
  const { apis, config, store, log, now } = broker;
  const unseen = new Set<string>();
  for (const cluster of config.clusters) {
    const namespaces = [...new Set((cluster.service_accounts ?? []).map(({ namespace }) => namespace))];
    for (const namespace of namespaces) {
      try {
        const found = await apis.of(cluster).listSecrets(namespace, labelsOf(config));
        const left = await store.transaction((transaction) => adoptUnknown(transaction, cluster.name, found, now()));
        if (left > 0)
          log.warn({ cluster: cluster.name, namespace, secrets: left }, 'Secrets of no session are deleted');
      } catch (error) {
        if (!(error instanceof CurfewError) || error.code === 'store') throw error;
        unseen.add(cluster.name);
        log.warn(
          { cluster: cluster.name, namespace, reason: error.message },
          'left-over Secrets could not be looked for',
        );
      }
    }
  }
  return [...unseen];
}
