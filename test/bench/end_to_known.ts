// How soon an end at one of two brokers is known at the other, on one database in PostgreSQL: from the answer to the end to the line that
// the other one sends to a gateway. Where notifications are lost it is found by the look of each second. That nothing is granted there from
// the answer on, known or not, is looked at each time.

import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'undici';
import { type Brokers, makeBrokers } from '../support/brokers.ts';
import { Holder } from '../support/holder.ts';
import { until } from '../support/patience.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { ISSUER } from '../support/service.ts';
import type { Bench, Settings } from './figure.ts';
import { quantile } from './statistics.ts';

const NAME = 'end_to_known';
const ENDS = 200;
const ENDS_WITHOUT = 40;
/** In place of the database's own, for all that connects to this database. */
const SILENCE = [
  `create function public.pg_notify(text, text) returns void language sql as 'select'`,
  'alter database :name set search_path = public, pg_catalog',
];

export const endToKnown: Bench = {
  figures: [
    {
      name: `${NAME}.p50_ms`,
      unit: 'ms',
      says: 'from the answer to an end at one broker to when another knows of it, median of 200',
    },
    { name: `${NAME}.p99_ms`, unit: 'ms', aim: { at_most: 100 }, says: '99th percentile of it' },
    {
      name: `${NAME}.without_notify.p99_ms`,
      unit: 'ms',
      aim: { at_most: 5_000 },
      says: '99th percentile where notifications of the database are lost',
    },
  ],
  async run(settings) {
    const { quick } = settings;
    const notified = await measure(settings, quick ? 3 : ENDS, []);
    const silent = await measure(settings, quick ? 2 : ENDS_WITHOUT, SILENCE);
    return {
      [`${NAME}.p50_ms`]: quantile(notified, 0.5),
      [`${NAME}.p99_ms`]: quantile(notified, 0.99),
      [`${NAME}.without_notify.p99_ms`]: quantile(silent, 0.99),
    };
  },
};

async function measure({ log }: Settings, ends: number, before: readonly string[]): Promise<number[]> {
  const server = await sharedPostgres();
  const database = await server.createDatabase();
  const name = new URL(database).pathname.slice(1);
  for (const text of before) await server.query(text.replace(':name', name), name);
  const gateway = { url: 'https://127.0.0.1:1', token_file: 'gateway' };
  const cluster = { name: 'dev', server: 'https://127.0.0.1:1', audience: 'dev', allowed_groups: ['*'], gateway };
  const brokers = await makeBrokers({ database, count: 2, sections: { clusters: [cluster] } });
  const token = randomBytes(32);
  try {
    for (const { configFile } of brokers.replicas) {
      await writeFile(path.join(path.dirname(configFile), 'gateway'), token.toString('base64'), { mode: 0o600 });
    }
    for (const replica of brokers.replicas) await replica.start();
    const [one = '', other = ''] = brokers.urls();
    const feed = await listen(other, token.toString('base64url'));
    try {
      const times: number[] = [];
      for (let n = 0; n < ends; n++) times.push(await endOne(brokers, { one, other, n }, feed));
      log(
        `${ends} ends${before.length > 0 ? ' without notifications' : ''}: p50 ${quantile(times, 0.5).toFixed(1)} ms, most ${quantile(times, 1).toFixed(1)} ms`,
      );
      return times;
    } finally {
      await feed.close();
    }
  } finally {
    await brokers.remove();
  }
}

interface Listening {
  /** When a session's end came, by its id. */
  readonly heard: ReadonlyMap<string, number>;
  close(): Promise<void>;
}

/** As a gateway listens. */
async function listen(url: string, token: string): Promise<Listening> {
  const client = new Client(url, { bodyTimeout: 0 });
  const { statusCode, body } = await client.request({
    ...{ path: '/v1/gateway/ends', method: 'GET', headers: { authorization: `Bearer ${token}` } },
  });
  if (statusCode !== 200) throw new Error(`the feed was answered ${statusCode}: ${await body.text()}`);
  const heard = new Map<string, number>();
  let rest = '';
  body.setEncoding('utf8').on('data', (text: string) => {
    const now = performance.now();
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      // A sign of life.
      if (line === '') continue;
      const { sid } = JSON.parse(line) as { readonly sid?: string };
      if (sid !== undefined) heard.set(sid, now);
    }
  });
  body.on('error', () => undefined);
  return { heard, close: () => client.destroy() };
}

async function endOne(
  { issuer }: Brokers,
  { one, other, n }: { readonly one: string; readonly other: string; readonly n: number },
  { heard }: Listening,
): Promise<number> {
  const place = { url: one, issuer: ISSUER };
  const holder = new Holder(place);
  const now = Math.floor(Date.now() / 1000);
  const who = { iss: issuer.issuer, sub: `person-${n}`, email: `person-${n}@example.com`, email_verified: true };
  const claims = {
    ...who,
    aud: 'curfew',
    groups: ['dev'],
    nonce: holder.nonce,
    iat: now,
    exp: now + 300,
    auth_time: now,
  };
  const { granted } = await holder.exchange(issuer.sign(claims));
  const { refresh_token: handle = '', session } = granted;
  // At any moment of the second between two looks.
  await sleep(Math.random() * 200);
  const { status } = await holder.revoke(handle);
  const ended = performance.now();
  if (status !== 200) throw new Error(`the end was answered ${status}`);
  place.url = other;
  const denied = await holder.renew(handle, 'dev');
  if (denied.status === 200) throw new Error('a token was granted at the other broker after the end');
  await until(() => heard.has(session.sid), 'the end is not known at the other broker');
  return Math.max(0, (heard.get(session.sid) ?? 0) - ended);
}
