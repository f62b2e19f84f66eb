// A cluster whose own tokens are used: what a token costs, and how long one lives after the end of its session, at a real API
// server.

import { mkdtemp } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, fetch, Pool } from 'undici';
import { Holder } from '../support/holder.ts';
import { startWorld, type World } from '../support/world.ts';
import type { Bench, Settings } from './figure.ts';
import { median, quantile } from './statistics.ts';

const ENDS = 50;
const MINTS = 200;
const POLICY = { limits: { max_age: '12h', inactivity_timeout: '2h', token_ttl: '10m' }, segments: [] };
const NAMESPACE = 'curfew-people';
/** Milliseconds: kube-apiserver's cache outlives the Secret by 10 s, so before that nothing is to be seen. */
const QUIET = 9_000;
const EVERY = 100;

export const serviceAccounts: Bench = {
  figures: [
    {
      name: 'sa.end_to_dead.p99_ms',
      unit: 'ms',
      aim: { at_most: 11_000 },
      says: 'from the acknowledged end of a session to the first 401 for its ServiceAccount token, 99th percentile of 50',
    },
    { name: 'sa.mint.p50_ms', unit: 'ms', says: 'a renewal that brings such a token, at the broker, median of 200' },
  ],
  async run(settings) {
    const { dead, mints } = await measure(settings);
    return { 'sa.end_to_dead.p99_ms': quantile(dead, 0.99), 'sa.mint.p50_ms': median(mints) };
  },
};

async function measure({ folder, quick, log }: Settings) {
  const dir = await mkdtemp(path.join(folder, 'world-'));
  const serviceAccount = { group: 'dev', namespace: NAMESPACE, name: 'readers' };
  const planes = [{ name: 'managed', serviceAccounts: [serviceAccount] }];
  const world = await startWorld({ dir, policy: POLICY, planes, log });
  const dispatcher = new Agent({ connect: { ca: world.authority.caPem } });
  const api = new Pool(world.plane.server, { connect: { ca: world.plane.caPem }, connections: 4 });
  try {
    const bind = ['create', 'clusterrolebinding', 'readers', '--clusterrole', 'curfew-dev'];
    const { code, stderr } = await world.plane.adminKubectl([...bind, '--serviceaccount', `${NAMESPACE}:readers`]);
    if (code !== 0) throw new Error(stderr);
    const mints = await mintAgain(world, dispatcher, quick ? 3 : MINTS);
    const dead = await Promise.all(
      Array.from({ length: quick ? 2 : ENDS }, async (_, i) => {
        // One after the other, as sessions end.
        await sleep(i * 40);
        return endOne(world, dispatcher, api);
      }),
    );
    return { dead, mints };
  } finally {
    await Promise.all([api.destroy(), dispatcher.destroy()]);
    await world.stop();
  }
}

async function open(world: World, dispatcher: Agent) {
  const send = (url: string, init: object) => fetch(url, { ...init, dispatcher }) as unknown as Promise<Response>;
  const holder = new Holder({ url: world.brokerUrl, issuer: world.brokerUrl, send });
  const login = await holder.exchange(idTokenFor(world, holder), { audience: 'managed' });
  const { access_token: token, refresh_token: handle = '' } = login.granted;
  return { holder, token, handle };
}

async function mintAgain(world: World, dispatcher: Agent, count: number): Promise<number[]> {
  const { holder, handle } = await open(world, dispatcher);
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const begin = performance.now();
    if ((await holder.renew(handle, 'managed')).granted.expires_in <= 0) throw new Error('no token');
    times.push(performance.now() - begin);
  }
  return times;
}

async function endOne(world: World, dispatcher: Agent, api: Pool): Promise<number> {
  const { holder, token, handle } = await open(world, dispatcher);
  const use = async () => {
    const headers = { authorization: `Bearer ${token}` };
    const { statusCode, body } = await api.request({ method: 'GET', path: '/api/v1/namespaces', headers });
    await body.dump();
    return statusCode;
  };
  // The worst case: the API server believed it just now.
  const before = await use();
  if (before !== 200) throw new Error(`a living session was answered ${before}`);
  const { status } = await holder.revoke(handle);
  const ended = performance.now();
  if (status !== 200) throw new Error(`the end was answered ${status}`);
  for (await sleep(QUIET); ; await sleep(EVERY)) {
    const status = await use();
    if (status === 401) return performance.now() - ended;
    if (status !== 200) throw new Error(`an ended session was answered ${status}`);
  }
}

let people = 0;

function idTokenFor({ idp }: World, { nonce }: Holder): string {
  const now = Math.floor(Date.now() / 1000);
  people += 1;
  const who = { sub: `person-${people}`, email: `person-${people}@example.com` };
  return idp.issueIdToken('alice', { ...who, nonce, iat: now, exp: now + 300, auth_time: now });
}
