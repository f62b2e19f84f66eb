// How soon an end takes effect at a real API server: from the acknowledged end of a session to the denied answer to the next
// request of a client that still holds an unexpired token.

import { mkdtemp } from 'node:fs/promises';
import path from 'node:path';
import { Agent, Client, fetch } from 'undici';
import { Holder } from '../support/holder.ts';
import { startWorld, type World } from '../support/world.ts';
import type { Bench, Settings } from './figure.ts';
import { median, quantile } from './statistics.ts';

const ENDS = 200;
const POLICY = { limits: { max_age: '12h', inactivity_timeout: '2h', token_ttl: '1h' }, segments: [] };
const PATH = '/api/v1/namespaces/default/configmaps';

export const endToDenial: Bench = {
  figures: [
    {
      name: 'end_to_denial.p50_ms',
      unit: 'ms',
      says: 'from the acknowledged end of a session to the denial of the next request with its token, median of 200',
    },
    { name: 'end_to_denial.p99_ms', unit: 'ms', aim: { at_most: 200 }, says: '99th percentile of it' },
  ],
  async run(settings) {
    const times = await measure(settings);
    return { 'end_to_denial.p50_ms': median(times), 'end_to_denial.p99_ms': quantile(times, 0.99) };
  },
};

async function measure({ folder, quick, log }: Settings): Promise<number[]> {
  const dir = await mkdtemp(path.join(folder, 'world-'));
  const planes = [{ name: 'dev', webhook: { on_failure: 'deny' } }] as const;
  const world = await startWorld({ dir, policy: POLICY, planes, log });
  const dispatcher = new Agent({ connect: { ca: world.authority.caPem } });
  const api = new Client(world.plane.server, { connect: { ca: world.plane.caPem } });
  try {
    const times: number[] = [];
    for (let i = 0; i < (quick ? 3 : ENDS); i++) times.push(await endOne(world, dispatcher, api));
    return times;
  } finally {
    await Promise.all([api.destroy(), dispatcher.destroy()]);
    await world.stop();
  }
}

async function endOne(world: World, dispatcher: Agent, api: Client): Promise<number> {
  const send = (url: string, init: object) => fetch(url, { ...init, dispatcher }) as unknown as Promise<Response>;
  const holder = new Holder({ url: world.brokerUrl, issuer: world.brokerUrl, send });
  const login = await holder.exchange(idTokenFor(world, holder), { audience: 'dev' });
  const { access_token: token, refresh_token: handle = '' } = login.granted;
  const use = async () => {
    const { statusCode, body } = await api.request({
      method: 'GET',
      path: PATH,
      headers: { authorization: `Bearer ${token}` },
    });
    await body.dump();
    return statusCode;
  };
  const before = await use();
  if (before !== 200) throw new Error(`a living session was answered ${before}`);
  const { status } = await holder.revoke(handle);
  const ended = performance.now();
  if (status !== 200) throw new Error(`the end was answered ${status}`);
  for (;;) {
    const status = await use();
    if (status === 403) return performance.now() - ended;
    if (status !== 200) throw new Error(`an ended session was answered ${status}`);
  }
}

let people = 0;

/** A new person each time, so that no login is held against the end of the one before. */
function idTokenFor({ idp }: World, { nonce }: Holder): string {
  const now = Math.floor(Date.now() / 1000);
  people += 1;
  const who = { sub: `person-${people}`, email: `person-${people}@example.com` };
  return idp.issueIdToken('alice', { ...who, nonce, iat: now, exp: now + 300, auth_time: now });
}
