// The store as it is now: which keys are published, what the database says of its clock and of standbys, and what signals came.

import { sql } from 'kysely';
import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import type { Clock, Seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { sealerOf } from '../audit_log/chain.ts';
import { VERIFICATION } from '../audit_log/signals.ts';
import type { Config } from '../config/settings.ts';
import { encryptionOf } from '../encryption.ts';
import { openForCommand } from '../open_store.ts';
import type { Store } from '../store/store.ts';
import { type Keys, readKeys } from '../tokens/keys.ts';
import { fine, type Seen, unknown, wrong } from './seen.ts';

export interface Came {
  readonly newest?: Seconds | undefined;
  /** The `jti` of those of the newest events that verify the stream. */
  readonly verifications: readonly string[];
}

export interface OpenStore {
  readonly seen: readonly Seen[];
  readonly keys?: Keys | undefined;
  /** Whether it has seen a later time than this machine shows. */
  readonly behind: boolean;
  /** How far this machine's clock is ahead of the database's, in seconds. */
  readonly ahead?: number | undefined;
  /** What came of a transmitter. */
  readonly signals: (issuer: string) => Promise<Came | undefined>;
  readonly close: () => Promise<void>;
}

/** Beside the broker that runs; it is only read. */
export async function lookAtStore(config: Config, now: Clock, exact: () => number): Promise<OpenStore> {
  const what = config.store.postgres ? 'database' : config.store.sqlite.file;
  const options = { sealer: sealerOf(config), onAudit: () => undefined, onBroken: () => undefined };
  let store: Store;
  try {
    store = await openForCommand(config.store, options, false);
  } catch (error) {
    return unread(what, error);
  }
  try {
    const keys = await store.read((db) => readKeys(db, encryptionOf(config), now));
    const ahead = config.store.postgres ? await aheadOf(store, exact) : undefined;
    const standby = config.store.postgres ? [await lookAtStandby(config, store)] : [];
    const behind = (await store.standing()).newest > now() + 1;
    const seen = fine('store', what, 'is read, and is of this version');
    return {
      ...{ seen: [seen, ...standby], keys, ahead, behind },
      signals: (issuer) => store.read((db) => signalsOf(db, issuer)),
      close: () => store.close(),
    };
  } catch (error) {
    await store.close();
    return unread(what, error);
  }
}

/** @throws what is no CurfewError: our bug */
function unread(what: string, error: unknown): OpenStore {
  if (!(error instanceof CurfewError)) throw error;
  return {
    seen: [wrong('store', what, error.message, error.hint)],
    behind: false,
    signals: async () => undefined,
    close: async () => undefined,
  };
}

async function aheadOf(store: Store, exact: () => number): Promise<number | undefined> {
  const asked = exact();
  const { rows } = await store.read((db) =>
    sql<{ at: number }>`select extract(epoch from clock_timestamp())::float8 as at`.execute(db),
  );
  const heard = exact();
  const at = rows[0]?.at;
  if (typeof at !== 'number') return undefined;
  return at < asked ? asked - at : at > heard ? heard - at : 0;
}

/** Whoever may not see more of a replication sees that there is one. */
async function lookAtStandby({ store: { postgres } }: Config, store: Store): Promise<Seen> {
  const hosts = postgres?.address.hosts.length ?? 1;
  const { rows } = await store.read((db) =>
    sql<{ count: number }>`select count(*)::int as count from pg_stat_replication`.execute(db),
  );
  const count = rows[0]?.count ?? 0;
  if (count > 0) return fine('standby', 'database', `${count} follow it`);
  return hosts > 1
    ? wrong(
        'standby',
        'database',
        `none follows it, and ${hosts} hosts are named`,
        'see the standby: what is acknowledged now is on one machine alone',
      )
    : unknown(
        'standby',
        'database',
        'none follows it by streaming',
        'one that is kept another way is not seen from here',
      );
}

type Db = Parameters<Parameters<Store['read']>[0]>[0];

async function signalsOf(db: Db, issuer: string): Promise<Came> {
  const rows = await db
    .selectFrom('audit')
    .select(['at', 'data'])
    .where('event', '=', 'signal')
    .orderBy('at', 'desc')
    .limit(1_000)
    .execute();
  const own = rows.flatMap(({ at, data }) => {
    const event = parseJson(data);
    return isObject(event) && event.issuer === issuer ? [{ at, type: event.type, jti: String(event.jti) }] : [];
  });
  return { newest: own[0]?.at, verifications: own.filter(({ type }) => type === VERIFICATION).map(({ jti }) => jti) };
}
