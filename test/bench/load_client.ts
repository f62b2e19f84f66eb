// The load client, a process of its own: holds keys and handles, and renews over kept-alive connections, each sending its
// next request when it has the answer. Proofs are real and single use; they are made just before the measured window.

import { Client } from 'undici';
import { hashOfHandle, randomHandle } from '../../broker/sessions.ts';
import { GRANT, isTokenReply } from '../../shared/wire.ts';
import { Holder } from '../support/holder.ts';

export interface KeysOrder {
  readonly order: 'keys';
  readonly set: string;
  readonly count: number;
  /** The broker's issuer: what proofs must speak of. */
  readonly issuer: string;
}

export interface LoadOrder {
  readonly order: 'load';
  readonly set: string;
  readonly url: string;
  readonly ca?: string | undefined;
  readonly audience: string;
  readonly connections: number;
  readonly seconds: number;
  /** How many proofs to make beforehand; further ones are made as they are needed. */
  readonly proofs: number;
}

/** The public part of a session that the client will use: for the store. */
export interface HeldSession {
  readonly jkt: string;
  readonly handle_hash: Uint8Array;
}

export interface Load {
  readonly per_second: number;
  /** Milliseconds of each request that was answered within the window. */
  readonly latencies: Float64Array;
  /** Proofs that had to be made within the window. */
  readonly late_proofs: number;
  /** Of one core, that this process used within the window. */
  readonly client_cpu: number;
}

interface Held {
  readonly holder: Holder;
  readonly body: string;
}

const sets = new Map<string, readonly Held[]>();

function makeKeys({ set, count, issuer }: KeysOrder): HeldSession[] {
  const made = Array.from({ length: count }, () => ({
    holder: new Holder({ url: '', issuer }),
    handle: randomHandle(),
  }));
  sets.set(
    set,
    made.map(({ holder, handle }) => ({ holder, body: `grant_type=${GRANT.renewal}&refresh_token=${handle}` })),
  );
  return made.map(({ holder, handle }) => ({ jkt: holder.jkt, handle_hash: hashOfHandle(handle) }));
}

async function load({ set, url, ca, audience, connections, seconds, proofs }: LoadOrder): Promise<Load> {
  const held = sets.get(set);
  if (!held || held.length === 0) throw new TypeError(`there are no keys of the set ${set}`);
  const begin = Math.floor(Math.random() * held.length);
  let [made, used] = [0, 0];
  // Sessions take turns, so that each key rests as long as it can.
  const make = () => {
    const { holder, body } = held[(begin + made++) % held.length] ?? missing();
    return { proof: holder.proof(), body: `${body}&audience=${audience}` };
  };
  const ready = Array.from({ length: proofs }, make);
  const clients = Array.from({ length: connections }, () => new Client(url, { connect: { ...(ca && { ca }) } }));
  const latencies: number[] = [];
  const renew = async (client: Client) => {
    const { proof, body } = ready[used++] ?? make();
    const headers = { 'content-type': 'application/x-www-form-urlencoded', dpop: proof };
    const sent = performance.now();
    const answer = await client.request({ path: '/token', method: 'POST', headers, body });
    const text = await answer.body.text();
    const received = performance.now();
    if (answer.statusCode !== 200) throw new Error(`the broker answered ${answer.statusCode}: ${text.slice(0, 300)}`);
    return { ms: received - sent, received, text };
  };
  try {
    // Connects; and looks closely at one answer for each connection.
    for (const { text } of await Promise.all(clients.map(renew))) {
      if (!isTokenReply(JSON.parse(text))) throw new Error('the broker granted something else than a token');
    }
    const cpu = process.cpuUsage();
    const end = performance.now() + seconds * 1000;
    await Promise.all(
      clients.map(async (client) => {
        while (performance.now() < end) {
          const { ms, received } = await renew(client);
          if (received < end) latencies.push(ms);
        }
      }),
    );
    const { user, system } = process.cpuUsage(cpu);
    const late_proofs = Math.max(0, used - proofs);
    const client_cpu = (user + system) / 1e6 / seconds;
    return { per_second: latencies.length / seconds, latencies: Float64Array.from(latencies), late_proofs, client_cpu };
  } finally {
    await Promise.all(clients.map((client) => client.destroy()));
  }
}

function missing(): never {
  throw new TypeError('no such key');
}

process.on('message', async (message) => {
  const order = message as KeysOrder | LoadOrder;
  try {
    const done = order.order === 'keys' ? makeKeys(order) : await load(order);
    process.send?.({ done });
  } catch (error) {
    process.send?.({ failed: error instanceof Error ? error.message : String(error) });
  }
});
process.once('disconnect', () => process.exit());
