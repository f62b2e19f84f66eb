// What is open closes when its session is over: real kubectl, kube-apiserver and kwok, the gateway, broker and plugin as shipped. Nobody's
// clock is bent: logins are aged by the identity provider, limits are short. The long form has every cause on every kind of store and
// gateway, with kubectl of two versions.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isLong } from '../counts.ts';
import { CAUSES } from '../support/gateway_causes.ts';
import { AS_ROBOT, POLICY, type Scene, startScene } from '../support/gateway_scene.ts';
import { type OpenStreams, openStreams } from '../support/open_streams.ts';
import { ensureOtherClients } from '../support/other_clients.ts';

interface Variant {
  readonly store?: 'postgres';
  readonly required: boolean;
  /** Version of kubectl, where it is not the cluster's. */
  readonly kubectl?: '1.35';
  readonly causes: readonly string[];
}

const ALL = Object.keys(CAUSES);
const VARIANTS: readonly Variant[] = isLong
  ? [
      { required: true, causes: ALL },
      { required: false, kubectl: '1.35', causes: ALL },
      { store: 'postgres', required: true, kubectl: '1.35', causes: ALL },
      { store: 'postgres', required: false, causes: ALL },
    ]
  : [
      { required: true, causes: ['logout', 'owner', 'ended', 'idle', 'old', 'gone', 'revoked', 'hugo'] },
      { store: 'postgres', required: false, kubectl: '1.35', causes: ['logout', 'disabled', 'tightened'] },
    ];

const BY_TIME: ReadonlySet<string> = new Set(['idle', 'old']);
const OTHERS = ['anna', 'jane', 'kate', 'lena', 'mona', 'nora'];

describe('what is open', { concurrency: !isLong }, () => {
  for (const { store, required, kubectl: version, causes } of VARIANTS) {
    const where = store === undefined ? 'SQLite' : 'PostgreSQL with two replicas';
    describe(`on ${where}, gateway ${required ? 'required' : 'not required'}, kubectl ${version ?? '1.37'}`, {
      concurrency: 1,
    }, () => {
      let scene: Scene;
      /** Somebody else, whose streams go on whatever happens. */
      let theirs: OpenStreams;
      let kubectl: string | undefined;
      const open = (person: Parameters<typeof openStreams>[1], namespace: string) =>
        openStreams(scene.world, person, namespace, { kubectl });

      const cutWhen = (name: string) => {
        const { when, words, also, age, end } = CAUSES[name] ?? assert.fail(name);
        test(`all that is open is cut when ${when}`, async (t) => {
          const person = await scene.loggedIn(name, age);
          const streams = await open(person, 'dev');
          try {
            await end(scene, person);
            for (const row of await streams.assertCut(words, also)) t.diagnostic(row);
            await theirs.check();
          } finally {
            await streams.kill();
          }
        });
      };

      before(async () => {
        if (version !== undefined) ({ kubectl } = await ensureOtherClients());
        scene = await startScene({ names: [...causes, ...OTHERS], required, ...(store && { store }) });
        theirs = await open(await scene.loggedIn('jane'), 'dev');
      });
      after(async () => {
        await theirs?.kill();
        await scene?.stop();
      });

      // All three wait: side by side.
      describe('G1 ends that come by time', { concurrency: true }, () => {
        test('where only a segment denies, what is open there is cut, and what is open elsewhere in the same session goes on', async () => {
          const person = await scene.loggedIn('lena', 870);
          const elsewhere = await open(person, 'dev');
          const there = await open(person, 'prod');
          try {
            await there.assertCut('limit 15m (segment prod); run: kubectl curfew login --cluster dev');
            await elsewhere.check();
          } finally {
            await there.kill();
            await elsewhere.kill();
          }
        });

        test('G5 what is done as somebody else reaches everything: every segment counts, and the session that it is done in', async () => {
          const person = await scene.loggedIn('anna', 870);
          const kinds = ['exec over WebSocket', 'exec over SPDY', 'port-forward over SPDY', 'get -w'];
          const own = await open(person, 'dev');
          const as_robot = await openStreams(scene.world, person, 'dev', { kubectl, kinds, args: AS_ROBOT });
          try {
            await as_robot.assertCut('limit 15m');
            await own.check();
            assert.equal((await person.curfew(['login'])).code, 0);
            const again = await openStreams(scene.world, person, 'dev', { kubectl, kinds, args: AS_ROBOT });
            assert.equal((await person.curfew(['logout'])).code, 0);
            await again.assertCut('curfew: session is over: logged out; run: kubectl curfew login');
            await own.assertCut('curfew: session is over: logged out; run: kubectl curfew login');
          } finally {
            await as_robot.kill();
            await own.kill();
          }
        });

        for (const name of causes.filter((one) => BY_TIME.has(one))) cutWhen(name);
      });

      test('G1 a policy that is tightened for a segment reaches what is open there', async () => {
        const person = await scene.loggedIn('mona', 600);
        const streams = await open(person, 'dev');
        try {
          const tight = { name: 'tight', match: { namespaces: ['dev'] }, limits: { max_age: '9m' } };
          await scene.world.rewriteConfig({ policy: { ...POLICY, segments: [...POLICY.segments, tight] } });
          await streams.assertCut('limit 9m (segment tight); run: kubectl curfew login --cluster dev');
          await theirs.check();
        } finally {
          await streams.kill();
          await scene.world.rewriteConfig({});
        }
      });

      test('G1 a new login of the same person goes on with what is open', async () => {
        const person = await scene.loggedIn('nora');
        const streams = await open(person, 'dev');
        try {
          const before = scene.sidOf('nora');
          const { code, stderr } = await person.curfew(['login']);
          assert.equal(code, 0, stderr);
          assert.notEqual(scene.sidOf('nora'), before);
          await streams.check();
          assert.equal((await person.curfew(['logout'])).code, 0);
          await streams.assertCut('curfew: session is over: logged out; run: kubectl curfew login');
        } finally {
          await streams.kill();
        }
      });

      describe('G1 ends that are made: with the reason, and what is open for others goes on', {
        concurrency: 1,
      }, () => {
        for (const name of causes.filter((one) => !BY_TIME.has(one))) cutWhen(name);
        after(() => scene?.world.rewriteConfig({}));
      });
    });
  }
});
