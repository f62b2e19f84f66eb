// Where sessions end in every way there is, with all that kubectl can hold open in each of them: a world with a gateway, an identity provider
// that tells of logouts, and transmitters whose events are pushed and polled.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parse } from 'yaml';
import { type GatewayWorld, type GatewayWorldOptions, startGatewayWorld } from './gateway_world.ts';
import { logIn } from './log_in.ts';
import type { Person } from './person.ts';
import type { Settings } from './site.ts';
import { startTransmitter, type Transmitter } from './transmitter.ts';
import { USERS } from './world.ts';

/** Seconds. */
export const IDLE = 20;
const LIMITS = { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' };
const SEGMENTS = [{ name: 'prod', match: { namespaces: ['prod'] }, limits: { max_age: '15m' } }];
const RULES = [
  { name: 'short-idle', when: 'user.name == "idle@example.com"', limits: { inactivity_timeout: `${IDLE}s` } },
];
export const POLICY = {
  ...{ limits: LIMITS, segments: SEGMENTS, rules: RULES },
  max_sessions: { count: 2, when_exceeded: 'end_oldest' },
};

/** Who is in no group but `sre`. */
export const OUTCAST = 'outcast';

/** Whom people in `sre` may act as. */
const ACT_AS = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: act-as}
rules: [{apiGroups: [''], resources: [users, groups], verbs: [impersonate]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: act-as}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: act-as}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'curfew:sre'}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: robots}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: curfew-sre}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: robots}]
`;
/** For kubectl: to act as somebody else. */
export const AS_ROBOT = ['--as', 'robot', '--as-group', 'robots'];

export interface Scene {
  readonly world: GatewayWorld;
  readonly polled: Transmitter;
  /** What its clusters are at the broker. */
  clusters(): readonly Settings[];
  /** Somebody with a kubeconfig, who logged in that many seconds ago by the identity provider's word. */
  loggedIn(name: string, age?: number): Promise<Person>;
  /** Of the session that they opened last. */
  sidOf(name: string): string;
  /** A security event about somebody, as it is pushed. @returns the broker's answer */
  push(event: string, name: string): Promise<number>;
  /** Whom an event is about. */
  subject(name: string): object;
  stop(): Promise<void>;
}

export interface SceneOptions extends Pick<GatewayWorldOptions, 'store'> {
  /** Who may log in, beside `carol`, who is an administrator. */
  readonly names: readonly string[];
  /** `clusters[].gateway.required` */
  readonly required: boolean;
}

export async function startScene({ names, required, ...options }: SceneOptions): Promise<Scene> {
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-scene-'));
  const [pushes, polled] = [await startTransmitter('RS256'), await startTransmitter('ES256')];
  const bearer = randomBytes(32);
  const files = { push: path.join(folder, 'push'), poll: path.join(folder, 'poll') };
  await writeFile(files.push, bearer.toString('base64'), { mode: 0o600 });
  await writeFile(files.poll, polled.poll_token, { mode: 0o600 });
  const end = async () => {
    await Promise.all([pushes.stop(), polled.stop()]);
    await rm(folder, { recursive: true });
  };
  const world = await startGatewayWorld({
    ...options,
    // Something must see each request: else no segment could go by namespaces.
    plane: required ? {} : { webhook: { on_failure: 'deny' } },
    policy: POLICY,
    users: { ...USERS, ...peopleOf(names) },
    backchannel: true,
    gateway: { required },
    sections: ({ issuer }) => ({
      admins: { groups: ['security'], limits: { max_age: '1h' } },
      ssf: [
        { issuer: pushes.issuer, audience: pushes.audience, issuers: [issuer], push: { token_file: files.push } },
        {
          ...{ issuer: polled.issuer, audience: polled.audience, issuers: [issuer] },
          poll: { url: polled.poll_url, token_file: files.poll },
        },
      ],
    }),
  }).catch(async (error: unknown) => {
    await end();
    throw error;
  });
  const applied = await world.plane.adminKubectl(['apply', '-f', '-'], { input: ACT_AS });
  assert.equal(applied.code, 0, applied.stderr);
  const subject = (name: string) => ({ format: 'iss_sub', iss: world.idp.issuer, sub: `sub-${name}` });
  return {
    ...{ world, polled, subject },
    clusters: () => parse(readFileSync(world.site.configFile, 'utf8')).clusters,
    loggedIn: (name, age = 0) => logIn(world, name, { age }),
    sidOf: (name) => sidOf(world, name),
    async push(event, name) {
      const { token } = pushes.set(event, subject(name));
      const how = { bearer: bearer.toString('base64url'), ca: world.authority.caPem, tries: 5 };
      return (await pushes.push(`${world.brokerUrl}/ssf/events`, token, how)).status;
    },
    async stop() {
      await world.stop();
      await end();
    },
  };
}

function peopleOf(names: readonly string[]) {
  return Object.fromEntries(
    names.map((name) => [
      name,
      {
        ...{ password: `${name}-pw`, email: `${name}@example.com`, email_verified: true },
        groups: name === OUTCAST ? ['sre'] : ['dev', 'sre'],
      },
    ]),
  );
}

function sidOf(world: GatewayWorld, name: string): string {
  const logins = world.broker
    .audit()
    .filter(({ event, username }) => event === 'login' && username === `curfew:${name}@example.com`);
  const last = logins.toSorted((a, b) => Number(a.at) - Number(b.at)).at(-1);
  return String(last?.sid);
}
