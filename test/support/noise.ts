// A client at one address that asks a broker for all that it cannot have, over as many connections as it is told, as fast as it is answered:
// a process of its own, so that it does not slow down whoever looks. Tells its parent, when asked, how it was answered.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Pool } from 'undici';
import { GRANT, TOKEN_TYPE } from '../../shared/wire.ts';
import { Holder } from './holder.ts';

/** How often each status was answered; 0 is no answer. */
export type Answered = Readonly<Record<number, number>>;

export interface Noise {
  /** So far. */
  answered(): Promise<Answered>;
  stop(): Promise<void>;
}

export function makeNoise(url: string, issuer: string, address: string, connections: number): Noise {
  const child = fork(import.meta.filename, [url, issuer, address, String(connections)], { execArgv: [] });
  return {
    async answered() {
      const told = once(child, 'message');
      child.send('tell');
      const [counts] = await told;
      return counts as Answered;
    },
    async stop() {
      const gone = once(child, 'exit');
      child.disconnect();
      await gone;
    },
  };
}

const FORM = { 'content-type': 'application/x-www-form-urlencoded' };

/** Forms that are none, a handle that nobody has with a proof that is true, an ID token that is none. */
function rubbish(issuer: string): readonly { readonly body: string; readonly headers: Record<string, string> }[] {
  const dpop = new Holder({ url: issuer, issuer }).proof();
  const login = { grant_type: GRANT.exchange, subject_token: 'a.b.c', subject_token_type: TOKEN_TYPE.id_token };
  const unknown = { grant_type: GRANT.renewal, refresh_token: 'x'.repeat(43), audience: 'dev' };
  return [
    { body: 'grant_type=nothing', headers: FORM },
    { body: `${new URLSearchParams(unknown)}`, headers: { ...FORM, dpop } },
    {
      body: `${new URLSearchParams({ ...login, client_id: 'curfew', nonce_random: 'n' })}`,
      headers: { ...FORM, dpop },
    },
    { body: '{', headers: { 'content-type': 'application/json' } },
  ];
}

async function shout(url: string, issuer: string, localAddress: string, connections: number): Promise<void> {
  const pool = new Pool(url, { connections, connect: { localAddress } });
  const counts: Record<number, number> = {};
  const requests = rubbish(issuer);
  process.on('message', () => process.send?.(counts));
  const one = async (n: number) => {
    for (let next = n; ; next++) {
      const request = requests[next % requests.length];
      if (!request) return;
      const answer = await pool.request({ path: '/token', method: 'POST', ...request }).catch(() => undefined);
      await answer?.body.dump();
      const status = answer?.statusCode ?? 0;
      counts[status] = (counts[status] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, (_, n) => one(n)));
}

if (process.argv[1] === import.meta.filename) {
  process.once('disconnect', () => process.exit());
  const [url = '', issuer = '', address = '', connections = ''] = process.argv.slice(2);
  await shout(url, issuer, address, Number(connections));
}
