// A replica that does nothing but what one replica does at a time: each piece of work is a change in the feed that bears its name. Says
// on stdout what came of each try.

import { createHash, createSecretKey } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSealer } from '../../broker/audit_log/chain.ts';
import { parseDatabaseAddress } from '../../broker/config/database_address.ts';
import { takeTurns } from '../../broker/leases/turn.ts';
import { PostgresStore } from '../../broker/postgres/store.ts';
import { requireLease } from '../../broker/store/lease.ts';
import { CurfewError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';

const [url = '', name = ''] = process.argv.slice(2);
const say = (word: string) => void process.stdout.write(`${word}\n`);
const stopwatch = () => performance.now() / 1_000;
const log = { info: () => undefined, warn: () => say('lost') };
const store = await PostgresStore.open(
  { address: parseDatabaseAddress(url, 'url'), application: name, connections: 3 },
  {
    sealer: createSealer(createSecretKey(createHash('sha256').update(url).digest())),
    onAudit: () => undefined,
    onBroken: () => say('broken'),
    stopwatch,
  },
);
const turn = takeTurns({ store, stopwatch, log }, 'work');
for (;;) {
  const lease = await turn.mine();
  if (!lease) {
    say('waits');
    await sleep(100);
    continue;
  }
  // Long enough that it may be stopped in between.
  await sleep(50);
  const at = seconds(1_800_000_000);
  const work = store.transaction(async (transaction) => {
    await requireLease(transaction, lease);
    transaction.publish({ kind: 'end', at, sid: `${name} ${lease.fence}`, reason: 'logout', since: at });
  });
  await work.then(
    () => say('works'),
    (error: unknown) => say(error instanceof CurfewError ? error.code : 'unexpected'),
  );
}
