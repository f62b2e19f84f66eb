// 200 sessions end, by their owners and by an administrator, while each is renewed without pause: at the real kube-apiserver, whose
// own tokens are used. The short form is in test/threats/service_account_ends.test.ts.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, fetch } from 'undici';
import { Holder } from '../support/holder.ts';
import { PATIENCE_MS, until } from '../support/patience.ts';
import { startWorld, type World } from '../support/world.ts';

const NAMESPACE = 'curfew-people';
const POLICY = { limits: { max_age: '12h', inactivity_timeout: '2h', token_ttl: '10m' }, segments: [] };
const ENDS = 200;
/** Sessions that are renewed at a time, and renewals of one session at a time. */
const AT_ONCE = 15;
const RENEWALS = 2;
/** Milliseconds after the acknowledged end. */
const DEAD_WITHIN = 11_000;

let world: World;
let broker: Agent;
let api: Agent;
let people = 0;

before(async () => {
  const serviceAccount = { group: 'dev', namespace: NAMESPACE, name: 'readers' };
  world = await startWorld({
    policy: POLICY,
    sections: { admins: { groups: ['platform-admins'], limits: { max_age: '1h' } } },
    planes: [{ name: 'managed', serviceAccounts: [serviceAccount] }],
  });
  broker = new Agent({ connect: { ca: world.authority.caPem } });
  // HTTP/1.1: kube-apiserver takes its leave (GOAWAY) of HTTP/2 connections that were refused.
  api = new Agent({ allowH2: false, connect: { ca: world.plane.caPem } });
});
after(async () => {
  await Promise.all([broker?.destroy(), api?.destroy()]);
  await world?.stop();
});

function holder(): Holder {
  const send = (url: string, init: object) =>
    fetch(url, { ...init, dispatcher: broker }) as unknown as Promise<Response>;
  return new Holder({ url: world.brokerUrl, issuer: world.brokerUrl, send });
}

async function login(groups: readonly string[], fields: Readonly<Record<string, string>>) {
  const own = holder();
  const now = Math.floor(Date.now() / 1000);
  people += 1;
  const who = { sub: `person-${people}`, email: `person-${people}@example.com`, groups };
  const times = { iat: now, exp: now + 300, auth_time: now };
  const { granted } = await own.exchange(
    world.idp.issueIdToken('alice', { ...who, ...times, nonce: own.nonce }),
    fields,
  );
  return { own, sid: granted.session.sid, handle: granted.refresh_token ?? '', token: granted.access_token };
}

async function statusOf(token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(`${world.plane.server}/api/v1/namespaces`, { headers, dispatcher: api });
  await response.arrayBuffer();
  return response.status;
}

interface Ended {
  readonly sid: string;
  readonly tokens: number;
  /** Granted to requests that began after the acknowledged end. */
  readonly late: number;
  /** Tokens that were good at `DEAD_WITHIN` after it. */
  readonly good: Promise<number>;
}

async function endUnderRenewals(i: number, admin: { readonly own: Holder; readonly handle: string }): Promise<Ended> {
  const { own, sid, handle, token } = await login(['dev'], { audience: 'managed' });
  const tokens = [token];
  let ended: number | undefined;
  let late = 0;
  const renewing = Array.from({ length: RENEWALS }, async () => {
    for (const begin = performance.now(); performance.now() - begin < PATIENCE_MS; ) {
      const after_end = ended !== undefined;
      const answer = await own.renew(handle, 'managed');
      if (answer.status === 503 && !after_end) continue;
      if (answer.status !== 200) return;
      if (after_end) late += 1;
      tokens.push(answer.granted.access_token);
    }
    assert.fail('the end is not noticed');
  });
  await until(() => tokens.length > 5, 'nothing is granted');
  // Ends fall anywhere within a renewal.
  await sleep(Math.random() * 300);
  const { status } =
    i % 2 === 0 ? await own.revoke(handle) : await admin.own.api(admin.handle, { method: 'DELETE', path: `/${sid}` });
  ended = performance.now();
  assert.equal(status, 200);
  await Promise.all(renewing);
  const since = ended;
  // What came last is the most dangerous, and all share one Secret; kube-apiserver believed some of them just now.
  const last = tokens.slice(-20);
  await Promise.all(last.slice(-3).map(statusOf));
  const good = sleep(Math.max(0, since + DEAD_WITHIN - performance.now())).then(async () => {
    const statuses = await Promise.all(last.map(statusOf));
    return statuses.filter((status) => status !== 401).length;
  });
  return { sid, tokens: tokens.length, late, good };
}

test('S17 200 sessions end under renewals without pause: no token after the end, none good 11 s later, no Secret left', async () => {
  const admin = await login(['platform-admins', 'dev'], {});
  const all: Ended[] = [];
  let next = 0;
  const someone = async () => {
    while (next < ENDS) all.push(await endUnderRenewals(next++, admin));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, someone));
  const good = (await Promise.all(all.map(({ good }) => good))).reduce((sum, count) => sum + count, 0);
  const left = async () => {
    const { stdout } = await world.plane.adminKubectl(['get', 'secrets', '-n', NAMESPACE, '-o', 'json']);
    return (JSON.parse(stdout) as { items: readonly unknown[] }).items.length;
  };
  await until(async () => (await left()) === 0, 'Secrets are left');
  const rows = world.broker.audit();
  const over = new Map<string, number>();
  for (const [i, { event, sid }] of rows.entries()) if (event === 'end' && typeof sid === 'string') over.set(sid, i);
  const after_end = rows.filter(
    ({ event, sid }, i) => event === 'mint' && i > (over.get(String(sid)) ?? Infinity),
  ).length;
  const slowest = Math.max(
    ...rows.filter(({ event }) => event === 'secret_deleted').map(({ at, due_at }) => Number(at) - Number(due_at)),
  );
  const sum = (of: (ended: Ended) => number) => all.reduce((total, ended) => total + of(ended), 0);
  const late = sum((ended) => ended.late);
  process.stdout.write(
    `# ${all.length} ends, ${sum(({ tokens }) => tokens)} tokens, ${over.size} end rows, ${after_end} mint rows after an end, ` +
      `${late} tokens to requests after it, ${good} good ${DEAD_WITHIN / 1000} s after it, ${await left()} Secrets left, the last gone ${slowest} s after its end\n`,
  );
  assert.equal(over.size, ENDS);
  assert.deepEqual({ after_end, late, good }, { after_end: 0, late: 0, good: 0 });
});
