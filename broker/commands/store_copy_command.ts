// `curfew-broker store copy`, as it is typed: which stores it is about, and what a person sees while it runs.

import type { Command } from 'commander';
import { CurfewError } from '../../shared/errors.ts';
import type { Clock, Stopwatch } from '../../shared/time.ts';
import { type ConfigSources, loadConfig } from '../config/load.ts';
import { operator } from './operator.ts';
import { type Around, copyStore, type Step, type StoreCopy } from './store_copy.ts';

export interface Terminal extends Pick<ConfigSources, 'env'> {
  readonly now: Clock;
  readonly stopwatch: Stopwatch;
  /** How far it is, for whoever waits. */
  readonly say: (line: string) => void;
  readonly print: (lines: readonly string[]) => void;
}

/** Seconds between two lines about the same table. */
const EVERY_SECONDS = 2;

const STEP_WORDS: Readonly<Record<Step, string>> = {
  checked: 'the store can be moved: its audit log is whole',
  begun: 'copying',
  filled: 'all rows are copied, and are in the copy as they were read',
  verified: 'the audit log of the copy is whole',
  left: 'the file is not used any more',
  witnessed: 'what is kept outside the store knows that',
  taken: 'the copy is in use',
};

interface Typed {
  readonly config: string;
  readonly from: string;
  readonly to: string;
}

export function addStoreCopy(store: Command, terminal: Terminal): void {
  store
    .command('copy')
    .description('move the store to another database, with all that is in it; the broker must be stopped')
    .requiredOption('--config <file>', 'the configuration, with both of them in store')
    .requiredOption('--from <database>', 'sqlite')
    .requiredOption('--to <database>', 'postgres')
    .action(async (typed: Typed) => {
      const { now } = terminal;
      const around = { now, by: operator(), tell: telling(terminal) };
      terminal.print(await copyStore(await placesOf(typed, terminal), around));
    });
}

/** @throws CurfewError `usage`, `configuration` */
export async function placesOf(
  { config: file, from, to }: Typed,
  { env }: Pick<ConfigSources, 'env'>,
): Promise<StoreCopy> {
  if (from === 'postgres' && to === 'sqlite')
    throw new CurfewError(
      'usage',
      'a store in PostgreSQL cannot be copied to SQLite: its audit log is in several chains',
    );
  if (from !== 'sqlite' || to !== 'postgres')
    throw new CurfewError('usage', 'expected --from sqlite --to postgres: no other copy is possible');
  const old = await loadConfig(file, { env, store: from });
  const { store } = await loadConfig(file, { env, store: to });
  // Each was loaded without the other.
  if (!old.store.sqlite || !store.postgres) throw new TypeError('a configuration with another store');
  const { encryption_key, other_encryption_key } = old;
  return { from: old.store, to: store, encryption_key, other_encryption_key };
}

function telling({ stopwatch, say }: Terminal): Around['tell'] {
  let said = stopwatch();
  return {
    step: (step) => say(STEP_WORDS[step]),
    rows(table, rows, count) {
      if (stopwatch() - said < EVERY_SECONDS) return;
      said = stopwatch();
      say(`${table}: ${rows} of ${count} rows`);
    },
  };
}
