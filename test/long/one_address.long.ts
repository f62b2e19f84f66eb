// H9, long form: 5,000 people behind one address log in at once, each with a key, an ID token and connections of their own.

import assert from 'node:assert/strict';
import { request } from 'node:https';
import { test } from 'node:test';
import { makeLoneBroker } from '../support/lone_broker.ts';

const PEOPLE = Number(process.env.ONE_ADDRESS ?? 5_000);
/** As many as one program can begin without missing the deadline of a handshake by its own doing. */
const AT_ONCE = 200;
/** On a busy machine that deadline can strike an honest client, which tries again, as the plugin does. */
const TRIES = 3;

test(`H9 ${PEOPLE} logins from one address at once, each over a connection of its own: all of them are taken`, async () => {
  const broker = await makeLoneBroker({ name: 'one-address', tls: true });
  const say = (what: string) => process.stdout.write(`# ${what}\n`);
  try {
    const { log, audit } = await broker.start();
    const begin = performance.now();
    let [begun, done, again] = [0, 0, 0];
    const once = (url: string, init: RequestInit) => sendOnce(url, init, broker.ca);
    const send = async (url: string, init: RequestInit) => {
      for (let tries = 1; ; tries++) {
        try {
          return await once(url, init);
        } catch (error) {
          if (tries === TRIES) throw error;
          again += 1;
        }
      }
    };
    const some = async () => {
      while (begun < PEOPLE) {
        begun += 1;
        const { granted } = await broker.login(`person-${begun}`, { audience: 'dev' }, send);
        assert.equal(granted.expires_in, 300);
        done += 1;
        if (done % Math.ceil(PEOPLE / 10) === 0) say(`${done} are logged in`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, some));
    const rows = (wanted: string) => audit().filter(({ event }) => event === wanted).length;
    const seconds = Math.round((performance.now() - begin) / 1000);
    say(
      `${done} logins from one address in ${seconds} s, ${again} requests sent again; in the audit log: ${rows('login')} logins, ${rows('mint')} tokens, ${rows('refusal')} refusals`,
    );
    assert.deepEqual([done, rows('login'), rows('mint'), rows('refusal')], [PEOPLE, PEOPLE, PEOPLE, 0]);
    assert.ok(!log().includes('were cut'), 'no bound was met');
  } finally {
    await broker.remove();
  }
});

/** A connection for this request alone. */
function sendOnce(url: string, { method = 'GET', headers, body }: RequestInit, ca: string | undefined) {
  return new Promise<Response>((resolve, reject) => {
    const named = { ...(headers as Record<string, string>) };
    const sent = request(url, { method, headers: named, agent: false, ...(ca && { ca }) }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', reject);
      response.on('end', () => resolve(new Response(Buffer.concat(chunks), { status: response.statusCode ?? 0 })));
    });
    sent.on('error', reject).end(String(body ?? ''));
  });
}
