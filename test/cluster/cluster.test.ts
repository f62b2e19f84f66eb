// The real kube-apiserver takes tokens such as the broker mints, and refuses by itself what no broker should have signed.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import type { JWTPayload } from 'jose';
import { type CertificateAuthority, createCertificateAuthority } from '../support/certificates.ts';
import { type ControlPlane, startControlPlane } from './control_plane.ts';
import { type Issuer, startIssuer } from './issuer.ts';
import { programs } from './versions.ts';

let folder = '';
let authority: CertificateAuthority;
let issuer: Issuer;
let cluster: ControlPlane;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'curfew-test-'));
  authority = await createCertificateAuthority(join(folder, 'pki'));
  issuer = await startIssuer(authority);
  const outOfReach = { url: 'https://127.0.0.1:1', ca_pem: authority.caPem };
  cluster = await startControlPlane({ authenticationConfig: authenticationConfig(outOfReach, issuer), kwok: true });
});

after(async () => {
  await cluster?.stop();
  await issuer?.close();
  await rm(folder, { recursive: true, force: true });
});

test('kubectl and kube-apiserver are of the pinned version', async () => {
  const { stdout } = await cluster.adminKubectl(['version', '-o', 'json']);
  const { clientVersion, serverVersion } = JSON.parse(stdout);
  const pinned = `v${programs.kubectl.module.version}`;
  assert.deepEqual([clientVersion.gitVersion, serverVersion.gitVersion], [pinned, pinned]);
});

test('a well signed token is accepted: kubectl auth whoami shows username, groups and the session in extra', async () => {
  const claims = claimsOf('ada');
  const { stdout } = await whoami(await issuer.sign(claims));
  const { username, uid, groups, extra } = JSON.parse(stdout).status.userInfo;
  assert.equal(username, 'curfew:ada');
  assert.equal(uid, claims.sub);
  assert.deepEqual(groups, ['curfew:sre', 'system:authenticated']);
  assert.deepEqual(extra['curfew.internal/session-id'], [claims.sid]);
  assert.deepEqual(extra['authentication.kubernetes.io/credential-id'], [`JTI=${claims.jti}`]);
});

/** How a good token is changed, and what kube-apiserver then says in its log. */
const refused: Readonly<Record<string, readonly [(claims: Claims) => JWTPayload, RegExp]>> = {
  'for another audience': [(claims) => ({ ...claims, aud: 'another-cluster' }), /expected audience \\"test-cluster/],
  'with exp - iat over the cap': [({ iat, ...claims }) => ({ ...claims, iat, exp: iat + 301 }), /exp - iat is over/],
  'with exp - auth_time over the cap': [
    ({ exp, ...claims }) => ({ ...claims, exp, auth_time: exp - 3601 }),
    /exp - auth_time is over/,
  ],
  'without a session id': [({ sid: _, ...claims }) => claims, /no such key: sid/],
  'of a user system:admin': [(claims) => ({ ...claims, username: 'system:admin' }), /username begins with system:/],
  'of the group system:masters': [
    (claims) => ({ ...claims, groups: ['system:masters'] }),
    /a group begins with system:/,
  ],
  'at its exp': [({ iat, ...claims }) => ({ ...claims, iat: iat - 200, exp: iat }), /token is expired/],
};

for (const [what, [change, reason]] of Object.entries(refused)) {
  test(`a well signed token ${what} is refused`, async () => {
    const logged = (await readFile(cluster.logFile)).length;
    const token = await issuer.sign(change(claimsOf('mallory')));
    await assert.rejects(whoami(token), { stderr: /You must be logged in to the server/ });
    assert.match((await readFile(cluster.logFile)).subarray(logged).toString('utf8'), reason);
  });
}

test('a token exactly at both caps is accepted', async () => {
  const { iat, ...claims } = claimsOf('ada');
  const exp = iat + 300;
  await whoami(await issuer.sign({ ...claims, iat, exp, auth_time: exp - 3600 }));
});

test('a pod of kwok runs, and kubectl exec reaches it', async () => {
  const pod = `
apiVersion: v1
kind: Node
metadata: {name: worker}
---
apiVersion: v1
kind: Pod
metadata: {name: shell, namespace: default}
spec: {nodeName: worker, automountServiceAccountToken: false, containers: [{name: shell, image: none}]}
`;
  assert.equal((await cluster.adminKubectl(['apply', '-f', '-'], { input: pod })).code, 0);
  assert.equal((await cluster.adminKubectl(['wait', '--for=condition=Ready', 'pod/shell', '--timeout=30s'])).code, 0);
  const executed = await cluster.adminKubectl(['exec', 'shell', '--', 'printf', 'hello']);
  assert.deepEqual(executed, { code: 0, stdout: 'hello', stderr: '' });
});

test('an authentication config set later decides as soon as the call returns', async () => {
  const second = await startIssuer(authority);
  try {
    const token = await second.sign(claimsOf('grace'));
    await assert.rejects(whoami(token));
    await cluster.setAuthenticationConfig(authenticationConfig(issuer, second));
    await whoami(token);
    await whoami(await issuer.sign(claimsOf('ada')));
  } finally {
    await second.close();
  }
});

test('an authentication config that kube-apiserver refuses is an error that says why', async () => {
  const broken = authenticationConfig({ ...issuer, url: 'http://127.0.0.1:1' });
  await assert.rejects(cluster.setAuthenticationConfig(broken), /URL scheme must be https/);
});

type Claims = ReturnType<typeof claimsOf>;

/** Claims as the broker mints them. */
function claimsOf(name: string) {
  const iat = Math.floor(Date.now() / 1000);
  return {
    aud: 'test-cluster',
    sub: `sub-of-${name}`,
    username: `curfew:${name}`,
    groups: ['curfew:sre'],
    sid: randomUUID(),
    jti: randomUUID(),
    iat,
    nbf: iat,
    exp: iat + 120,
    auth_time: iat - 600,
    acr: 'mfa',
  };
}

function authenticationConfig(...issuers: readonly Pick<Issuer, 'url' | 'ca_pem'>[]): string {
  const jwt = issuers.map(({ url, ca_pem }) => ({
    issuer: { url, audiences: ['test-cluster'], certificateAuthority: ca_pem },
    claimValidationRules: [
      { expression: "has(claims.sid) && claims.sid != ''", message: 'sid is required' },
      { expression: 'claims.exp - claims.iat <= 300', message: 'exp - iat is over the cap' },
      { expression: 'claims.exp - claims.auth_time <= 3600', message: 'exp - auth_time is over the cap' },
    ],
    claimMappings: {
      username: { claim: 'username', prefix: '' },
      groups: { claim: 'groups', prefix: '' },
      uid: { claim: 'sub' },
      extra: [{ key: 'curfew.internal/session-id', valueExpression: 'claims.sid' }],
    },
    userValidationRules: [
      { expression: "!user.username.startsWith('system:')", message: 'username begins with system:' },
      {
        expression: "user.groups.all(group, !group.startsWith('system:'))",
        message: 'a group begins with system:',
      },
    ],
  }));
  // JSON is YAML.
  return JSON.stringify({ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'AuthenticationConfiguration', jwt });
}

/** `kubectl auth whoami` with this token and no other credential. Rejects with `stderr` if it is refused. */
async function whoami(token: string): Promise<{ readonly stdout: string }> {
  const kubeconfig = join(folder, `${randomUUID()}.kubeconfig`);
  const { server, caFile, kubectlPath } = cluster;
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority': caFile } }],
    users: [{ name: 'person', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'person' } }],
    'current-context': 'test',
  };
  await writeFile(kubeconfig, JSON.stringify(config), { mode: 0o600 });
  const env = { HOME: folder, KUBECONFIG: kubeconfig };
  return promisify(execFile)(kubectlPath, ['auth', 'whoami', '-o', 'json'], { env });
}
