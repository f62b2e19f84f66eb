// Reports to the configured hooks: queued with the event that they tell of, or not at all; delivered after that, however long
// it takes, signed as Standard Webhooks has it. A hook can neither delay a request nor be told a secret.

import { createHmac } from 'node:crypto';
import type { Logger } from 'pino';
import { Agent, request } from 'undici';
import { every, pauseAfter } from '../../serving/background.ts';
import { tlsTo } from '../../serving/net/roots.ts';
import { between, type Clock, plus, type Seconds, seconds } from '../../shared/time.ts';
import type { Config, Hook } from '../config/settings.ts';
import type { Turn } from '../leases/turn.ts';
import { type Lease, requireLease } from '../store/lease.ts';
import type { Store } from '../store/store.ts';
import type { HookDeliveryTable } from '../store/tables.ts';

/** Milliseconds: for one delivery, and between two looks at the queue. */
const DEADLINE_MS = 10_000;
const EVERY_MS = 1_000;
/** How many reports of a hook one look delivers. */
const AT_ONCE = 20;
/** The longest pause between two tries, and after how long a report is given up. */
const LONGEST_PAUSE_SECONDS = 600;
const GIVE_UP = seconds(86_400);

type Delivery = Omit<HookDeliveryTable, 'id'> & { readonly id: number };

/** What deliveries work with; the configuration in force at each round. */
export interface DeliveryParts {
  readonly config: Pick<Config, 'hooks'>;
  readonly store: Store;
  readonly log: Pick<Logger, 'warn' | 'error'>;
  readonly now: Clock;
  readonly turn: Pick<Turn, 'mine'>;
}

/** @returns a function that stops it: what is under way is given up, and tried again after the next start */
export function startDeliveries(parts: DeliveryParts): () => Promise<void> {
  const stopped = new AbortController();
  const round = () => deliverDue(parts, stopped.signal);
  const fail = () => parts.log.error('the store failed while reports were delivered: trying again');
  const rounds = every(EVERY_MS, round, fail);
  return () => {
    stopped.abort();
    return rounds.stop();
  };
}

/** Each hook's reports one after the other, and no hook waits for another. One replica at a time: a report comes more than once only where one fails. */
async function deliverDue(parts: DeliveryParts, stopped: AbortSignal): Promise<void> {
  if (!(await parts.turn.mine())) return;
  const urls = await parts.store.read((db) => db.selectFrom('hook_delivery').select('url').distinct().execute());
  await Promise.all(urls.map(({ url }) => deliverTo(parts, url, stopped)));
}

async function deliverTo(parts: DeliveryParts, url: string, stopped: AbortSignal): Promise<void> {
  const { config, log, store, now } = parts;
  const hook = config.hooks.find((candidate) => candidate.url === url);
  if (!hook) {
    await store.transaction(
      async ({ db }) => void (await db.deleteFrom('hook_delivery').where('url', '=', url).execute()),
    );
    log.warn({ hook: originOf(url) }, 'reports dropped: the hook is not in the configuration any more');
    return;
  }
  const rows = await store.read((db) => {
    const due = db.selectFrom('hook_delivery').selectAll().where('url', '=', url).where('next_at', '<=', now());
    return due.orderBy('id').limit(AT_ONCE).execute();
  });
  if (rows.length === 0) return;
  const dispatcher = agentFor(hook);
  try {
    for (const row of rows) {
      const lease = await parts.turn.mine();
      if (!lease) return;
      const status = await send(hook, dispatcher, row, parts.now(), stopped);
      if (stopped.aborted) return;
      await conclude(parts, row, status, lease);
      // It is away: what comes after waits for its own time.
      if (status === undefined) return;
    }
  } finally {
    await dispatcher.destroy();
  }
}

/** @returns the status, or `undefined` when no answer came */
async function send(
  { url, secret }: Hook,
  dispatcher: Agent,
  { body }: Delivery,
  now: Seconds,
  stopped: AbortSignal,
): Promise<number | undefined> {
  const id = idOf(body);
  const signature = createHmac('sha256', secret).update(`${id}.${now}.${body}`).digest('base64');
  const headers = {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(now),
    'webhook-signature': `v1,${signature}`,
  };
  const signal = AbortSignal.any([stopped, AbortSignal.timeout(DEADLINE_MS)]);
  try {
    // Redirects are not followed: a report goes where the administrator said.
    const answer = await request(url, { method: 'POST', headers, body, dispatcher, signal });
    answer.body.on('error', () => undefined).destroy();
    return answer.statusCode;
  } catch {
    return undefined;
  }
}

async function conclude(parts: DeliveryParts, row: Delivery, status: number | undefined, lease: Lease): Promise<void> {
  const { log, now } = parts;
  const { url } = row;
  // It is there, whoever else may have taken over meanwhile.
  if (status !== undefined && status >= 200 && status < 300) return forget(parts, row);
  const said = status === undefined ? 'no answer' : `HTTP ${status}`;
  if (status === 410 || between(row.created_at, now()) >= GIVE_UP) {
    await forget(parts, row, lease);
    log.error({ hook: originOf(url), answer: said, attempts: row.attempts + 1 }, 'a report was given up');
    return;
  }
  const next_at = plus(now(), pauseOf(row));
  log.warn(
    { hook: originOf(url), answer: said, attempts: row.attempts + 1 },
    'a report could not be delivered: trying again',
  );
  await parts.store.transaction(async ({ db }) => {
    await requireLease({ db }, lease);
    const again = db.updateTable('hook_delivery').set({ attempts: row.attempts + 1, next_at });
    await again.where('id', '=', row.id).execute();
  });
}

/** 1, 2, 4, ... seconds, and up to a quarter more, other for each report, so that they do not all come back at once. */
function pauseOf({ id, attempts }: Delivery): Seconds {
  const pause = pauseAfter(attempts, LONGEST_PAUSE_SECONDS);
  return seconds(pause + Math.floor((pause * (id % 8)) / 32));
}

/** @param lease where it was not delivered @throws CurfewError `busy` where another replica has it to deliver now */
async function forget({ store }: Pick<DeliveryParts, 'store'>, { id }: Delivery, lease?: Lease): Promise<void> {
  await store.transaction(async ({ db }) => {
    if (lease) await requireLease({ db }, lease);
    await db.deleteFrom('hook_delivery').where('id', '=', id).execute();
  });
}

/** The path of a hook may be what lets in: it is shown nowhere. */
function originOf(url: string): string {
  return new URL(url).origin;
}

function agentFor({ ca }: Hook): Agent {
  // said outright, so that NODE_TLS_REJECT_UNAUTHORIZED=0 changes nothing
  return new Agent({ connect: { ...tlsTo(ca), timeout: 3_000 } });
}

/** Of the report, not of the attempt: whoever receives it twice can tell. */
function idOf(body: string): string {
  return (JSON.parse(body) as { id: string }).id;
}
