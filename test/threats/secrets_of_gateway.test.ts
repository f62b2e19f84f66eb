// H5 for the gateway: its own token at the broker, tokens of people, those that they are swapped for, and what passes through streams. None
// of it is in the log at its highest level, the metrics, what the broker is told, or an answer, whatever its peers do.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { until } from '../support/patience.ts';
import { requestText } from '../support/raw_client.ts';
import { startRecordedGateway } from '../support/recorded_gateway.ts';
import { answerWithStatus } from '../support/recording_upstream.ts';
import { assertNowhere } from '../support/secrets.ts';

const PODS = '/api/v1/namespaces/dev/pods';
const UPGRADE = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==',
];
const EXEC = `${PODS}/shell/exec?command=sh&stdin=true`;

test('H5 no secret of a gateway, or that passes through it, is where others could read it, whatever its peers do with it', async () => {
  const lone = await startRecordedGateway({ other_credentials: 'pass' });
  try {
    const { broker, upstream } = lone;
    const answers: string[] = [];
    const ask = async (at: string, headers: readonly string[], method = 'GET', body = '') => {
      const client = await lone.open();
      client.send(requestText(at, headers, method, body));
      await until(() => client.ended || client.text().includes('\r\n\r\n'), 'not answered');
      answers.push(client.text());
      client.destroy();
    };
    const people = ['a', 'b', 'c', 'd'].map((sid) => broker.token(sid));
    const [good = '', other = '', third = '', gone = ''] = people;
    const to_swap = broker.token('e', true);
    const forged = `${good.split('.').slice(0, 2).join('.')}.${randomBytes(64).toString('base64url')}`;
    const service_account = `eyJhbGciOiJSUzI1NiJ9.${Buffer.from(JSON.stringify({ sub: 'system:serviceaccount:a:b', x: randomBytes(20).toString('hex') })).toString('base64url')}.${randomBytes(64).toString('base64url')}`;
    const opaque = randomBytes(24).toString('hex');
    const typed = `typed-${randomBytes(12).toString('hex')}`;
    const bearer = (token: string) => `Authorization: Bearer ${token}`;
    broker.facts.set('d', { ended: { at: broker.now(), reason: 'logout' } });
    // As it should be: it passes.
    await ask(PODS, [bearer(good)]);
    await until(
      () => upstream.requests.some(({ headers }) => headers.some(([, value]) => value.includes(good))),
      'it does not pass',
    );
    await ask(PODS, [bearer(to_swap)]);
    // Whatever may be wrong with it, or with where it is.
    const session = randomBytes(24).toString('hex');
    for (const token of [...people, to_swap, forged, service_account, opaque]) {
      const hidden = Buffer.from(token).toString('base64url');
      for (const headers of [
        [bearer(token)],
        [`authorization: bearer  ${token}`],
        [`Authorization: Basic ${Buffer.from(`x:${token}`).toString('base64')}`],
        [bearer(token), bearer(other)],
        [`Cookie: session=${token}`, bearer(gone)],
        [`X-Remote-User: ${token}`, bearer(token)],
        [`Impersonate-User: ${token}`, bearer(good)],
        [...UPGRADE, `Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.${hidden}, v5.channel.k8s.io`],
        [bearer(token), `X-Forwarded-For: ${token}`, `User-Agent: ${token}`, `X-${session}: ${token}`],
      ])
        await ask(headers.includes(UPGRADE[0] ?? '') ? EXEC : PODS, headers);
      for (const at of [`${PODS}?access_token=${token}`, `${PODS}/${token}`, `/${token}`, `${EXEC}&command=${token}`])
        await ask(at, [bearer(third)]);
      await ask(PODS, [bearer(good)], 'POST', JSON.stringify({ kind: 'Secret', stringData: { token } }));
      await ask(PODS, [bearer(good), 'Content-Length: nonsense'], token.slice(0, 8));
      await ask(`${PODS} ${token}`, []);
    }
    // A stream in which something secret is typed, and which is cut.
    const client = await lone.open();
    client.send(requestText(EXEC, [...UPGRADE, 'Sec-WebSocket-Protocol: v5.channel.k8s.io', bearer(good)]));
    await client.status();
    const frame = Buffer.concat([Buffer.from([0x82, 0x80 + 1 + typed.length, 0, 0, 0, 0, 0]), Buffer.from(typed)]);
    client.send(frame);
    await until(() => upstream.connections.some((connection) => connection.rest().includes(typed)), 'it does not pass');
    lone.endSession('a');
    await until(() => client.ended, 'it is not cut');
    answers.push(client.text());
    // Peers that fail, and that tell what they heard.
    upstream.answer = (request) => answerWithStatus(request, '503');
    await ask(PODS, [bearer(other)]);
    upstream.answer = ({ stream }) => stream.close(2);
    await ask(PODS, [bearer(other)]);
    upstream.upgrade = ({ socket, head }) =>
      void socket.end(`HTTP/1.1 403 ${Buffer.from(head()).toString('hex').slice(0, 10)}\r\n\r\n`);
    await ask(EXEC, [...UPGRADE, bearer(other)]);
    for (const [sid, instead] of [
      ['f', 500],
      ['g', 401],
      ['h', 'no answer'],
      ['i', 400],
    ] as const) {
      broker.onAsk = () => instead;
      await ask(PODS, [bearer(broker.token(sid))]);
    }
    const own = Buffer.from(broker.place.token.export());
    await until(() => broker.events.some(({ type }) => type === 'cut'), 'no stream is told of');
    const places = {
      ...{ log: lone.log(), metrics: await lone.metrics() },
      'what the broker is asked and told': JSON.stringify([broker.asked, broker.events]),
      answers: answers.join('\n'),
    };
    assert.ok(places.log.length > 100 && places.metrics.includes('curfew_gateway') && answers.length > 100);
    assert.ok(broker.asked.length > 3);
    const named = Object.fromEntries(
      [...people, to_swap, forged, service_account, opaque, typed].map((token, i) => [`token ${i}`, token]),
    );
    // The name of a pod, or of a command, that was asked for is what the audit log is for: names are no place for a secret.
    assertNowhere({ own }, places);
    assertNowhere(named, {
      ...places,
      'what the broker is asked and told': JSON.stringify(broker.asked.map(({ uses }) => uses)),
    });
  } finally {
    await lone.stop();
  }
});

test('H5 what a gateway’s commands print has none of its secrets, also where they are in the wrong place', async () => {
  const dir = await mkdtemp(path.join(tmpdir(), 'curfew-gateway-secrets-'));
  try {
    const token = randomBytes(32);
    const file = path.join(dir, 'token');
    await writeFile(file, token.toString('base64'), { mode: 0o600 });
    const { gateway } = await buildBundles();
    const outputs: Record<string, string> = {};
    const listen = { address: '127.0.0.1', port: 0, tls: { cert_file: 'tls.crt', key_file: 'tls.key' } };
    await writeFile(path.join(dir, 'tls.crt'), token.toString('hex'));
    await writeFile(path.join(dir, 'tls.key'), token.toString('hex'), { mode: 0o600 });
    const whole = {
      ...{ cluster: 'prod', listen, api_server: { url: 'https://127.0.0.1:1' }, other_credentials: 'refuse' },
      ...{ on_lost_broker: { cut_after: '10s' }, broker: { url: 'http://127.0.0.1:1', token_file: file } },
    };
    for (const [name, changes] of Object.entries<object>({
      'nobody there': {},
      'the token as its file': { broker: { ...whole.broker, token_file: token.toString('base64') } },
      'the token as its file, in hex': { broker: { ...whole.broker, token_file: token.toString('hex') } },
      'the token as its file, in base64url': { broker: { ...whole.broker, token_file: token.toString('base64url') } },
      'the token by itself': { broker: { ...whole.broker, token: token.toString('base64') } },
      'the token in the URL': {
        broker: { ...whole.broker, url: `https://x:${token.toString('hex').slice(0, 40)}@127.0.0.1` },
      },
      'the token as the name of a cluster': { cluster: token.toString('base64') },
    })) {
      const config = path.join(dir, 'gateway.yaml');
      await writeFile(config, stringify({ ...whole, ...changes }));
      for (const command of ['check', 'serve']) {
        const { code, stdout, stderr } = await run(process.execPath, [gateway, command, '--config', config]);
        assert.notEqual(code, 0, name);
        outputs[`${name}: ${command}`] = stdout + stderr;
      }
    }
    assertNowhere({ token, 'its first half': token.toString('hex').slice(0, 40) }, outputs);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
