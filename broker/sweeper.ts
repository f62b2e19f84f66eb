// Looks after time: ends what ended while nobody asked, so that the audit log says so, and forgets what cannot matter any more.

import type { Logger } from 'pino';
import { every } from '../serving/background.ts';
import { over, plus, type Seconds } from '../shared/time.ts';
import type { Broker } from './broker.ts';
import { sweepFailures } from './failed_logins/failed_logins.ts';
import { forgetConnections } from './gateways/disconnect.ts';
import { forgetGateways } from './gateways/events.ts';
import { forgetCounted } from './sessions/counted_login.ts';
import { currentSessions } from './sessions/current.ts';
import { UNSEEN_USE } from './sessions/ending.ts';
import { overdue } from './sessions/find.ts';
import { forgetGaps } from './sessions/idle_gaps.ts';
import { forgetLoginAfter } from './sessions/login_after.ts';
import { forgetEnded } from './sessions/opened.ts';
import { forgetRestingNames } from './sessions/usernames.ts';
import { caOf, keepCaKeys } from './ssh/ca_rotation.ts';
import { forgetChanges } from './store/feed.ts';
import { keepKeys, keysOf } from './tokens/key_rotation.ts';
import { forgetProofs } from './tokens/proof_use.ts';

const EVERY_MS = 10_000;
/** How many sessions one transaction ends at most: requests wait no longer than that. */
const AT_ONCE = 200;
/** How long an ended session can still be told from one that never was: 30 days. */
const KEEP_ENDED_SECONDS = 30 * 86_400;
/** How long a change stays in the feed: whoever was away for longer reads again all that it knows, so it may be short. */
const KEEP_CHANGES_SECONDS = 86_400;

/** What a round works with. */
export type SweepParts = Pick<
  Broker,
  'config' | 'store' | 'touches' | 'denials' | 'unproven' | 'refusals' | 'known_refusals' | 'now'
>;

/** One round of everything. @returns how many sessions were over. */
export async function sweep(broker: SweepParts): Promise<number> {
  const count = await sweepStore(broker);
  await flushCounted(broker);
  return count;
}

/** What is in the store: one replica does it at a time, to save work. Two that do it do no harm. */
async function sweepStore(broker: SweepParts): Promise<number> {
  const { config, store, now } = broker;
  let count = 0;
  for (let more = true; more; ) {
    const round = await store.transaction(async (transaction) => {
      const due = await overdue(transaction, now(), AT_ONCE);
      await currentSessions(transaction, broker, { sids: due.map(({ sid }) => sid) }, now(), 'spares');
      const newest = due.at(-1);
      // Those that were spared would come again at once; they are the newest.
      const spared = transaction.shared && newest !== undefined && !over(plus(newest.over_at, UNSEEN_USE), now());
      return { count: due.length, more: due.length === AT_ONCE && !spared };
    });
    count += round.count;
    more = round.more;
  }
  await store.transaction(async (transaction) => {
    const { db } = transaction;
    await forgetProofs(transaction, now());
    await sweepFailures(transaction, broker, now());
    await forgetLoginAfter(transaction, now());
    await forgetGaps(transaction, now());
    await forgetRestingNames(transaction, now());
    await forgetCounted(transaction, config.policy.limits.max_age, now());
    await db.deleteFrom('signal_received').where('expires_at', '<=', now()).execute();
    await forgetEnded(transaction, (now() - KEEP_ENDED_SECONDS) as Seconds, now());
    await forgetGateways(transaction, (now() - KEEP_ENDED_SECONDS) as Seconds);
  });
  while ((await store.transaction((transaction) => forgetConnections(transaction, now(), AT_ONCE))) === AT_ONCE);
  await keepKeys(broker, keysOf(config));
  await keepCaKeys(broker, caOf(config));
  const before = (now() - KEEP_CHANGES_SECONDS) as Seconds;
  while (await store.transaction(({ db }) => forgetChanges(db, before)));
  return count;
}

/** What this process alone has counted. */
async function flushCounted({ store, denials, unproven, refusals, known_refusals, now }: SweepParts): Promise<void> {
  for (const counted of [denials, unproven, refusals, known_refusals]) await counted.flush(store, now());
}

/** @returns a function that stops it. */
export function startSweeper(broker: SweepParts & Pick<Broker, 'turn'>, log: Pick<Logger, 'error'>): () => void {
  const round = async () => {
    if (await broker.turn.mine()) await sweepStore(broker);
    await flushCounted(broker);
  };
  const fail = () => log.error('the store failed while ended sessions were swept: trying again');
  const { stop } = every(EVERY_MS, round, fail);
  return () => void stop();
}
