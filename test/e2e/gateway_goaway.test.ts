// A real kube-apiserver that sends clients elsewhere for two of a hundred requests, as managed ones do: through a gateway nobody notices.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import http2, { type ClientHttp2Session } from 'node:http2';
import { after, before, describe, test } from 'node:test';
import { type ControlPlane, startControlPlane } from '../cluster/control_plane.ts';
import { type RecordedGateway, startRecordedGateway } from '../support/recorded_gateway.ts';

const REQUESTS = 3_000;
/** At a time, on so many connections. */
const [AT_ONCE, CONNECTIONS] = [48, 4];

let plane: ControlPlane;
let lone: RecordedGateway;
let authorization: string;

before(async () => {
  plane = await startControlPlane({ extraArgs: ['--goaway-chance=0.02'] });
  const { users } = JSON.parse(await readFile(plane.adminKubeconfig, 'utf8'));
  authorization = `Bearer ${users[0].user.token}`;
  // A token that is not of a session: what is shown here is what becomes of requests.
  lone = await startRecordedGateway({
    ...{ other_credentials: 'pass', api_server: { url: plane.server, ca: plane.caPem } },
  });
});
after(async () => {
  await lone?.stop();
  await plane?.stop();
});

const connect = () => http2.connect(lone.url, { ca: lone.authority.caPem });

function ask(session: ClientHttp2Session, method: string, path: string, body?: object): Promise<number> {
  return new Promise((resolve) => {
    const head = { ':method': method, ':path': path, authorization, 'content-type': 'application/json' };
    const stream = session.request(head, { endStream: body === undefined });
    stream
      .once('response', (answered) => resolve(Number(answered[':status'])))
      .once('error', () => resolve(0))
      .resume();
    if (body) stream.end(JSON.stringify(body));
  });
}

describe('G12 an API server with --goaway-chance=0.02', () => {
  test(`${REQUESTS} requests of all methods: none fails`, async (t) => {
    const sessions = Array.from({ length: CONNECTIONS }, connect);
    const statuses = new Map<number, number>();
    let next = 0;
    const round = async () => {
      for (let i = next++; i < REQUESTS / 3; i = next++) {
        const session = sessions[i % CONNECTIONS] ?? connect();
        const [all, one] = ['/api/v1/namespaces/default/configmaps', `/api/v1/namespaces/default/configmaps/a-${i}`];
        const made = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: `a-${i}` }, data: { a: 'x'.repeat(i) } };
        count(await ask(session, 'POST', all, made));
        count(await ask(session, 'GET', one));
        count(await ask(session, 'DELETE', one));
      }
    };
    const count = (status: number) => statuses.set(status, (statuses.get(status) ?? 0) + 1);
    await Promise.all(Array.from({ length: AT_ONCE }, round));
    for (const session of sessions) session.destroy();
    assert.deepEqual(Object.fromEntries(statuses), { 200: (REQUESTS / 3) * 2, 201: REQUESTS / 3 });
    const [, retried = '0'] = /kind="retried"[^}]*\} (\d+)/.exec(await lone.metrics()) ?? [];
    t.diagnostic(`${retried} were asked again`);
    assert.ok(Number(retried) > 0, 'none was refused: nothing was shown');
  });

  test('it undoes percent signs before it looks for what a path names, so that its version may hide more of it', async () => {
    const session = connect();
    assert.equal(await ask(session, 'GET', '/api/v1%2fnamespaces/default'), 200);
    session.destroy();
  });
});
