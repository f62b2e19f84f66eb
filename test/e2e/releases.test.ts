// Releases meet: the plugin of each earlier one, as it was shipped, works with today's broker and gateway; today's plugin with the broker
// of 0.4.0. The main job, the end of a session, and a login after it; with real kubectl and kube-apiserver.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { createFetchJson } from '../../broker/net/fetch_json.ts';
import { isMetadata } from '../../shared/metadata.ts';
import { type GatewayWorld, startGatewayWorld } from '../support/gateway_world.ts';
import { ALICE, mainJob } from '../support/main_job.ts';
import type { Person } from '../support/person.ts';
import { releasesOf, unpackRelease } from '../support/releases.ts';
import { startWorld, type World } from '../support/world.ts';

const PLUGINS = releasesOf('kubectl-curfew');
assert.ok(PLUGINS.length >= 4, PLUGINS.join(' '));
interface Sessions {
  readonly sessions: readonly { readonly username: string; readonly user_agent?: string }[];
}

describe('today’s broker and gateway', () => {
  let world: GatewayWorld;
  let other: Person;
  let folder: string;
  before(async () => {
    const admins = { groups: ['security'], limits: { max_age: '1h' } };
    folder = await mkdtemp(path.join(tmpdir(), 'curfew-releases-'));
    const token_file = path.join(folder, 'targets-token');
    await writeFile(token_file, randomBytes(32).toString('base64'), { mode: 0o600 });
    const sections = {
      admins,
      // Most of them know nothing of targets: the metadata tells them, and each token names one that does not admit them.
      target_gateway: { public_url: 'wss://targets.example.com', token_file, source_addresses: ['10.0.9.4'] },
      targets: [{ name: 'vault', kind: 'tcp', address: '10.0.0.12:8200', allowed_groups: ['nobody'] }],
    };
    world = await startGatewayWorld({ plane: { webhook: { on_failure: 'deny' } }, sections });
    const fetchJson = createFetchJson(world.authority.caPem);
    const metadata: unknown = await fetchJson.get(`${world.brokerUrl}/.well-known/curfew`);
    await fetchJson.close();
    assert.ok(isMetadata(metadata) && metadata.targets?.length === 1);
    other = await world.person('carol');
    assert.equal((await other.setup()).code, 0);
  });
  after(async () => {
    await world?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  for (const version of PLUGINS)
    test(`the plugin of ${version} does the main job through them, and logs in again after its session was ended`, async () => {
      const folder = path.join(world.dir, `plugin-${version}`);
      const person = await world.person('alice', {}, { program: unpackRelease('kubectl-curfew', version, folder) });
      await mainJob(person, async () => {
        // As an administrator, with today's plugin; the session was opened by that of then.
        assert.equal((await other.curfew(['login'])).code, 0);
        const listed = JSON.parse((await other.curfew(['sessions', 'list', '--all', '-o', 'json'])).stdout) as Sessions;
        const [agent, ...more] = listed.sessions.filter((one) => one.username === ALICE).map((one) => one.user_agent);
        assert.deepEqual(more, []);
        // The first did not say who it is.
        if (version === '0.1.0') assert.ok(!agent?.startsWith('kubectl-curfew/'), agent);
        else assert.ok(agent?.startsWith(`kubectl-curfew/${version} `), agent);
        const ended = await other.curfew(['sessions', 'end', '--user', ALICE]);
        assert.equal(ended.code, 0, ended.stderr);
      });
    });
});

describe('the broker of 0.4.0', () => {
  let world: World;
  before(async () => {
    const brokerProgram = unpackRelease('curfew-broker', '0.4.0', path.join(import.meta.dirname, '../releases/dist'));
    world = await startWorld({ brokerProgram, planes: [{ name: 'dev', webhook: { on_failure: 'deny' } }] });
  });
  after(() => world?.stop());

  test('today’s plugin does the main job with it, and logs in again after its session was ended', async () => {
    const alice = await world.person('alice');
    const elsewhere = await world.person('alice');
    assert.equal((await elsewhere.setup()).code, 0);
    await mainJob(alice, async () => {
      assert.equal((await elsewhere.curfew(['login'])).code, 0);
      const ended = await elsewhere.curfew(['sessions', 'end', '--user', ALICE]);
      assert.equal(ended.code, 0, ended.stderr);
    });
  });
});
