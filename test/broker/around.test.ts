// What in a cluster goes around sessions: RBAC's subjects, flags, lists in pages and lists that are refused.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { readAccess } from '../../broker/around/access.ts';
import { flagsOfPage, flagsOfPods, judgeFlags } from '../../broker/around/flags.ts';
import { lookAround } from '../../broker/around/look.ts';
import { createReader } from '../../broker/around/reader.ts';
import { judgeSubjects } from '../../broker/around/subjects.ts';
import { checkAround } from '../../broker/commands/check_around.ts';
import type { Config } from '../../broker/config/settings.ts';
import { CurfewError } from '../../shared/errors.ts';
import { createCertificateAuthority } from '../support/certificates.ts';

const PREFIXES = { username_prefix: 'curfew:', groups_prefix: 'curfew:' };
const role = (name: string, verbs: string) => ({
  metadata: { name },
  rules: [{ apiGroups: ['*'], resources: ['*'], verbs: [verbs] }],
});
const ROLES = [role('cluster-admin', '*'), role('all-but-the-name', '*'), role('view', 'get')];

function judged(subject: object, roleName: string, more: { namespace?: string; own?: boolean } = {}): string[] {
  const { namespace, own = false } = more;
  const labels = own ? { 'kubernetes.io/bootstrapping': 'rbac-defaults' } : {};
  const binding = {
    metadata: { name: 'b', labels, ...(namespace && { namespace }) },
    roleRef: { kind: 'ClusterRole', name: roleName },
    subjects: [subject],
  };
  const lists = namespace
    ? { clusterrolebindings: [], rolebindings: [binding] }
    : { clusterrolebindings: [binding], rolebindings: [] };
  return judgeSubjects({ ...lists, clusterroles: ROLES }, PREFIXES).map(({ name }) => name);
}
const of = (kind: string, name: string, namespace?: string) => ({ kind, name, ...(namespace && { namespace }) });

describe('subjects', () => {
  test('the broker’s people, and what Kubernetes binds by itself, are none', () => {
    for (const subject of [of('Group', 'curfew:dev'), of('User', 'curfew:alice@example.com')])
      assert.deepEqual(judged(subject, 'cluster-admin'), []);
    for (const name of ['system:masters', 'system:authenticated', 'system:unauthenticated', 'system:serviceaccounts'])
      assert.deepEqual(judged(of('Group', name), 'view', { own: true }), []);
    for (const subject of [
      of('User', 'system:kube-scheduler'),
      of('Group', 'system:nodes'),
      of('Group', 'system:bootstrappers:kubeadm'),
    ])
      assert.deepEqual(judged(subject, 'view'), []);
    assert.deepEqual(judged(of('ServiceAccount', 'a', 'apps'), 'view'), []);
    assert.deepEqual(judged(of('Group', 'system:serviceaccounts:apps'), 'view'), []);
  });

  test('people by other ways are named, whatever they may do', () => {
    for (const subject of [
      ...[
        of('User', 'bob'),
        of('User', 'admin@example.com'),
        of('Group', 'kubeadm:cluster-admins'),
        of('Group', 'oidc:dev'),
      ],
      ...[of('Group', 'system:masters'), of('Group', 'system:authenticated'), of('User', 'system:admin')],
      ...[of('Group', 'Curfew:dev'), of('Group', 'oidc:curfew:dev'), of('User', 'curfew')],
    ]) {
      assert.deepEqual(judged(subject, 'view'), ['foreign_subject'], subject.name);
      assert.deepEqual(judged(subject, 'view', { namespace: 'apps' }), ['foreign_subject'], subject.name);
    }
    for (const subject of [of('User', 'system:anonymous'), of('Group', 'system:unauthenticated')])
      assert.deepEqual(judged(subject, 'view'), ['anonymous_rights']);
  });

  test('ServiceAccounts that may do everything are named, however that is written', () => {
    for (const subject of [
      ...[of('ServiceAccount', 'a', 'apps'), of('User', 'system:serviceaccount:apps:a')],
      ...[of('Group', 'system:serviceaccounts'), of('Group', 'system:serviceaccounts:apps')],
    ])
      for (const name of ['cluster-admin', 'all-but-the-name'])
        assert.deepEqual(judged(subject, name), ['cluster_admin_service_account'], `${subject.name} ${name}`);
    const account = of('ServiceAccount', 'a', 'apps');
    assert.deepEqual(judged(account, 'cluster-admin', { namespace: 'apps' }), []);
    assert.deepEqual(judged(account, 'cluster-admin', { namespace: 'kube-system' }), ['cluster_admin_service_account']);
  });

  test('what is malformed is nobody', () => {
    for (const broken of [
      null,
      7,
      {},
      { subjects: 7 },
      { subjects: [null], roleRef: [] },
      { metadata: [], subjects: [{ kind: 1 }] },
    ])
      judgeSubjects({ clusterrolebindings: [broken], rolebindings: [broken], clusterroles: [broken] }, PREFIXES);
  });
});

describe('flags', () => {
  const names = (text: string, asked = false) =>
    judgeFlags(flagsOfPage(text) ?? new Map(), asked).map(({ name }) => name);
  const page = (...lines: string[]) =>
    ['apiserver flagz', 'Warning: no guarantees', 'etcd-servers=[https://e]', ...lines].join('\n');

  test('each that lets somebody past is named, and not where it is empty', () => {
    assert.deepEqual(names(page('token-auth-file=', 'client-ca-file=', 'authorization-mode=[Node,RBAC]')), []);
    assert.deepEqual(
      names(page('token-auth-file=/t', 'client-ca-file=/c', 'authorization-mode=[AlwaysAllow]', 'basic-auth-file=/b')),
      [...['token_auth_file', 'basic_auth_file', 'client_certificates', 'always_allow']],
    );
    assert.deepEqual(names(page('authorization-config='), true), ['no_webhook']);
    assert.deepEqual(names(page('authorization-config=/a'), true), []);
    assert.deepEqual(names(page('authorization-webhook-config-file=/a'), true), []);
  });

  test('whatever a start puts between name and value, it is read', () => {
    for (const between of ['=', ':', ' ', ': ', '\t'])
      assert.deepEqual(
        names(page('token-auth-file=/a=b', 'client-ca-file=').replaceAll(/(?<=[a-z])=/g, between)),
        ['token_auth_file'],
        JSON.stringify(between),
      );
  });

  test('a page of another form is not believed; a pod is read by its command line', () => {
    assert.equal(flagsOfPage('<html>token-auth-file=/t</html>'), undefined);
    assert.equal(flagsOfPage(''), undefined);
    const pod = (command: string[]) => ({ spec: { containers: [{ command }] } });
    const flags = flagsOfPods([
      ...[
        pod(['kube-apiserver', '--etcd-servers=https://e', '--token-auth-file=/t']),
        pod(['other']),
        null,
        { spec: 7 },
      ],
    ]);
    assert.equal(flags.length, 1);
    assert.deepEqual(
      judgeFlags(flags[0] ?? new Map(), false).map(({ name }) => name),
      ['token_auth_file'],
    );
  });
});

describe('an API server', () => {
  let folder: string;
  let server: Server;
  let listener: RequestListener;
  let kubeconfig: string;
  let fields: Record<string, unknown>;
  const asked: string[] = [];
  const write = (cluster: object, user: object) => {
    const named = (key: string, value: object) => [{ name: 'c', [key]: value }];
    const contexts = named('context', { cluster: 'c', user: 'c' });
    const text = stringify({
      'current-context': 'c',
      clusters: named('cluster', cluster),
      users: named('user', user),
      contexts,
    });
    writeFileSync(kubeconfig, text);
  };
  before(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'curfew-around-'));
    kubeconfig = path.join(folder, 'kubeconfig');
    const authority = await createCertificateAuthority(folder);
    const { certFile, keyFile } = await authority.issue({ name: 'api', hosts: ['127.0.0.1'] });
    const { readFileSync } = await import('node:fs');
    server = createServer({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, (request, response) => {
      asked.push(request.url ?? '');
      listener(request, response);
    });
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    fields = {
      server: `https://127.0.0.1:${port}`,
      'certificate-authority-data': Buffer.from(authority.caPem).toString('base64'),
    };
    write(fields, { token: 'CANARY' });
  });
  after(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });

  test('long lists are read to their end, also when one is out of date half-way', async () => {
    const reader = createReader(await readAccess(kubeconfig));
    let gone = 1;
    listener = ({ url = '' }, response) => {
      const token = new URL(url, 'https://x').searchParams.get('continue');
      if (token === '2' && gone-- > 0) return void response.writeHead(410).end('{}');
      const next = { '': '1', '1': '2', '2': '' }[token ?? ''];
      response.end(JSON.stringify({ metadata: { continue: next }, items: [{ token }] }));
    };
    assert.deepEqual(await reader.list('/things'), { items: [{ token: null }, { token: '1' }, { token: '2' }] });
    listener = (_, response) => void response.writeHead(410).end('{}');
    assert.deepEqual(await reader.list('/things'), { refused: 'it changed while it was read, several times' });
    await reader.close();
  });

  test('without a prefix nobody can tell whose names bindings have, and that is said', async () => {
    listener = ({ headers }, response) =>
      void response.writeHead(headers.authorization ? 200 : 401).end('{"items": []}');
    const reader = createReader(await readAccess(kubeconfig));
    const found = await lookAround(reader, { username_prefix: '', groups_prefix: '' }, undefined);
    await reader.close();
    const unseen = found.filter(({ detail }) => detail.endsWith('_prefix is empty'));
    assert.deepEqual(
      unseen.map(({ name }) => name),
      ['not_seen', 'not_seen'],
    );
  });

  test('what is refused is said, list by list, and never taken for nothing', async () => {
    listener = ({ headers }, response) => void response.writeHead(headers.authorization ? 403 : 401).end('{}');
    const reader = createReader(await readAccess(kubeconfig));
    const found = await lookAround(reader, PREFIXES, undefined);
    await reader.close();
    const unseen = found.filter(({ name }) => name === 'not_seen').map(({ detail }) => detail.split(/[: ]/)[0]);
    assert.deepEqual(unseen, [
      'clusterrolebindings',
      'rolebindings',
      'clusterroles',
      'token',
      'bootstrap',
      'flags',
      'no',
    ]);
    assert.equal(found.length, unseen.length);
  });

  test('one that is away, or does not take the credential, is an error, exit 69', async () => {
    const config = { clusters: [], identity_provider: PREFIXES } as unknown as Config;
    for (const status of [401, 429, 500, 503]) {
      listener = (_, response) => void response.writeHead(status).end('CANARY');
      const { lines, exit } = await checkAround(config, { kubeconfig });
      assert.equal(exit, 69, `${status}`);
      assert.match(lines.join('\n'), /^error: the API server at 127\.0\.0\.1:\d+ [^\n]*HTTP/);
      assert.doesNotMatch(lines.join('\n'), /CANARY/);
    }
    listener = (_, response) => void response.end('{"items": 7}');
    assert.equal((await checkAround(config, { kubeconfig })).exit, 69);
  });

  test('one whose certificate is not known is told nothing', async () => {
    const config = { clusters: [], identity_provider: PREFIXES } as unknown as Config;
    const before = asked.length;
    listener = (_, response) => void response.end('{"items": []}');
    write({ server: fields.server as string }, { token: 'CANARY' });
    const { lines, exit } = await checkAround(config, { kubeconfig });
    assert.equal(exit, 69, lines.join());
    assert.match(lines.join('\n'), /has a certificate that is not trusted/);
    assert.equal(asked.length, before);
    write(fields, { token: 'CANARY' });
  });

  test('a kubeconfig that is not verified, runs a program, or leads nowhere is refused before anything is sent', async () => {
    const before = asked.length;
    for (const [cluster, user] of [
      [{ ...fields, 'insecure-skip-tls-verify': true }, { token: 'CANARY' }],
      [{ ...fields, server: 'http://127.0.0.1:1' }, { token: 'CANARY' }],
      [{ ...fields, server: 'https://u:CANARY@127.0.0.1:1' }, { token: 'CANARY' }],
      [fields, { exec: { command: '/bin/true' }, token: 'CANARY' }],
      [fields, { 'auth-provider': { name: 'oidc', config: { 'id-token': 'CANARY' } } }],
      [fields, {}],
      [fields, { tokenFile: '/nowhere/token' }],
    ] as const) {
      write(cluster, user);
      await assert.rejects(readAccess(kubeconfig), (error) => {
        assert.ok(error instanceof CurfewError && error.code === 'configuration');
        assert.doesNotMatch(`${error.message} ${error.hint}`, /CANARY/);
        return true;
      });
    }
    for (const text of ['{', '- a', 'users: *CANARY', 'current-context: x']) {
      writeFileSync(kubeconfig, text);
      await assert.rejects(
        readAccess(kubeconfig),
        (error) => error instanceof CurfewError && !/CANARY/.test(error.message),
      );
    }
    await assert.rejects(readAccess(path.join(folder, 'none')), /cannot be read \(ENOENT\)/);
    assert.equal(asked.length, before);
  });
});
