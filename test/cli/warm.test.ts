// The warm path of get-token: what it loads, what it refuses to believe, and the rule by which it serves.

import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Entry, entryName, printEntry } from '../../cli/warm/entry.ts';
import { judge } from '../../cli/warm/judge.ts';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { type Seconds, seconds } from '../../shared/time.ts';
import { credentialOf, execInfo, refusalOf } from './desk.ts';
import { entryAt, KEY, LIMITS, tokenOf } from './entries.ts';
import { temporaryFolder } from './host.ts';

const { cli } = await buildBundles();
/** The same with a ServiceAccount's token, by the clock of its API server. */
function serviceAccountEntryAt(at: Seconds, ahead: number, age = 0): Entry {
  return { ...entryAt(at, { age }), token: tokenOf(at + ahead, at + ahead + 600, { iss: 'https://kubernetes' }) };
}

function placeEntry(entry: Entry): { readonly env: Record<string, string>; readonly cache: string } {
  const home = temporaryFolder('warm');
  const cache = `${home}/cache`;
  mkdirSync(cache, { mode: 0o700 });
  writeFileSync(`${cache}/${entryName(KEY)}`, printEntry(entry), { mode: 0o600 });
  mkdirSync(`${home}/.config/curfew`, { recursive: true, mode: 0o700 });
  writeFileSync(`${home}/.config/curfew/config.json`, JSON.stringify({ brokers: { [KEY.broker]: {} } }), {
    mode: 0o600,
  });
  return { cache, env: { HOME: home, CURFEW_CACHE_DIR: cache, KUBERNETES_EXEC_INFO: execInfo(false) } };
}

const now = () => seconds(Math.floor(Date.now() / 1000));
const ARGS = ['get-token', '--broker', KEY.broker, '--cluster', KEY.cluster];

describe('a cache hit', () => {
  it('loads node:fs and nothing else', async () => {
    const { env, cache } = placeEntry(entryAt(now()));
    const hook = `${cache}/../hook.cjs`;
    const record = `
      const Module = require('node:module'), load = Module._load, loaded = [];
      Module._load = function (request) { loaded.push(request); return load.apply(this, arguments); };
      const before = new Set(process.moduleLoadList);
      process.on('exit', () => {
        const internal = process.moduleLoadList.filter((name) => !before.has(name) && !name.startsWith('Internal'));
        process._rawDebug(JSON.stringify({ loaded, internal }));
      });`;
    writeFileSync(hook, record);
    const result = await run(process.execPath, ['--require', hook, cli, ...ARGS], { env });
    credentialOf(result);
    const { loaded, internal } = JSON.parse(result.stderr);
    assert.deepEqual([...new Set(loaded)], [cli, 'node:fs']);
    assert.deepEqual(internal, []);
  });

  it('writes nothing', async () => {
    const { env, cache } = placeEntry(entryAt(now()));
    const state = () => readdirSync(cache).map((name) => `${name} ${statSync(`${cache}/${name}`).mtimeMs}`);
    const before = state();
    credentialOf(await run(process.execPath, [cli, ...ARGS], { env }));
    assert.deepEqual(state(), before);
    assert.deepEqual(readdirSync(env.HOME ?? '').sort(), ['.config', 'cache']);
  });

  it('is answered in v1beta1 when that is asked', async () => {
    const { env } = placeEntry(entryAt(now()));
    const KUBERNETES_EXEC_INFO = execInfo(false, 'client.authentication.k8s.io/v1beta1');
    const result = await run(process.execPath, [cli, ...ARGS], { env: { ...env, KUBERNETES_EXEC_INFO } });
    assert.equal(credentialOf(result).apiVersion, 'client.authentication.k8s.io/v1beta1');
  });

  it('takes its flags with = as well, and the broker with a slash at the end', async () => {
    const { env } = placeEntry(entryAt(now()));
    credentialOf(await run(process.execPath, [cli, 'get-token', '--cluster=dev', `--broker=${KEY.broker}/`], { env }));
  });
});

describe('an edited or old entry (S8, P12)', () => {
  const at = now();
  const good = entryAt(at);
  const edits: Readonly<Record<string, Entry>> = {
    'with a later exp than its token says': { ...good, expires_in: seconds(100_000) },
    'whose token is over': { ...entryAt(seconds(at - 400)), minted_local: at },
    'whose times were moved with a token of before': {
      ...good,
      token: tokenOf(at - 400, at - 100),
    },
    'of a clock that went back': entryAt(seconds(at + 7200)),
    'without its session': { ...good, session: undefined },
    "with a ServiceAccount's token and more seconds than that has": {
      ...serviceAccountEntryAt(at, 3),
      expires_in: seconds(601),
    },
    "with a ServiceAccount's token of before": { ...serviceAccountEntryAt(at, -601), expires_in: seconds(300) },
  };
  for (const [what, entry] of Object.entries(edits)) {
    it(`${what} is not printed, and the broker is asked`, async () => {
      const { env } = placeEntry(entry);
      const result = await run(process.execPath, [cli, ...ARGS], { env });
      assert.equal(result.code, 77);
      assert.equal(refusalOf(result).error, 'not logged in');
    });
  }

  it('with a later auth_time prints no token beyond its own exp', () => {
    const { session } = good;
    assert.ok(session);
    const edited: Entry = {
      ...good,
      session: { ...session, auth_time: seconds(at + 100_000), end_at_most: seconds(at + 100_900) },
    };
    for (const later of [0, 200, 289]) assert.equal(judge(edited, seconds(at + later)).act, 'print');
    for (const later of [290, 300, 10_000]) assert.notEqual(judge(edited, seconds(at + later)).act, 'print');
  });
});

describe('the judgement of an entry', () => {
  const at = seconds(1_800_000_000);
  const act = (entry: Entry, elapsed: number) => judge(entry, seconds(entry.minted_local + elapsed)).act;

  it('serves a token until 10 s before its end', () => {
    assert.equal(act(entryAt(at), 289), 'print');
    assert.equal(act(entryAt(at), 290), 'ask');
  });

  it('serves one second before max_age and refuses at max_age, finally', () => {
    const entry = entryAt(at, { age: 700 });
    assert.equal(act(entry, 199), 'print');
    assert.equal(act(entry, 200), 'refuse');
    const long = entryAt(at, { age: 700, ttl: 100_000 });
    assert.equal(act(long, 199), 'print');
    assert.equal(act(long, 200), 'refuse');
  });

  it("serves a ServiceAccount's token by expires_in, whatever the clock of its API server says", () => {
    for (const ahead of [-250, -3, 0, 3, 250]) {
      assert.equal(act(serviceAccountEntryAt(at, ahead), 289), 'print');
      assert.equal(act(serviceAccountEntryAt(at, ahead), 290), 'ask');
    }
    assert.equal(act(serviceAccountEntryAt(at, -400), 200), 'ask');
    assert.equal(act(serviceAccountEntryAt(at, 3, 700), 200), 'refuse');
  });

  it('holds a token with a sid to the second at which the broker minted it', () => {
    for (const off of [-1, 1]) assert.equal(act({ ...entryAt(at), token: tokenOf(at + off, at + 600) }, 0), 'ask');
  });

  it('asks the broker once the identity provider has to confirm the account again, and not before', () => {
    const { session, ...entry } = entryAt(at, { ttl: 300 });
    assert.ok(session);
    const target = { ...LIMITS, revalidate: seconds(100) };
    const limits = { session: LIMITS, target };
    const vouched = { ...entry, session: { ...session, limits, revalidated_at: seconds(at - 50) } };
    assert.equal(act(vouched, 49), 'print');
    assert.equal(act(vouched, 50), 'ask');
  });

  it('asks the broker when the session looks idle', () => {
    const entry = entryAt(at, { ttl: 100_000 });
    assert.equal(act(entry, 599), 'print');
    assert.equal(act(entry, 600), 'ask');
  });

  it('repeats a remembered refusal, and says the age as of now', () => {
    const refused = { reason: 'session_ended', message: 'session is over: logged out' };
    const entry: Entry = { ...KEY, minted_local: at, session: entryAt(at).session, refused };
    assert.deepEqual(judge(entry, at), { act: 'refuse', refused });
    const later = judge(entry, seconds(at + 1200));
    assert.ok(later.act === 'refuse' && later.refused.message === 'login is too old: last login 20m ago, limit 15m');
  });

  it('does not depend on how far the clocks of laptop and broker are apart, as long as the token itself is good here', () => {
    for (const skew of [-299, -60, 60, 3600]) {
      const entry = entryAt(at, { skew });
      for (const elapsed of [0, 100, 289, 290, 600, 900]) {
        const ours = judge(entry, seconds(at + elapsed)).act;
        const theirs = act(entryAt(at), elapsed);
        // A token that is over by our clock is asked for anew: a round trip, never an extra minute.
        assert.ok(
          ours === theirs || (theirs === 'print' && ours === 'ask' && skew < 0),
          `${skew} ${elapsed} ${ours} ${theirs}`,
        );
      }
    }
  });

  it('prints no token at or after its exp, its session_end, or before its time, whatever the entry says', () => {
    const small = fc.integer({ min: 0, max: 2_000 });
    fc.assert(
      fc.property(
        small,
        small,
        small,
        small,
        fc.integer({ min: -1_000, max: 1_000 }),
        (age, ttl, expires_in, elapsed, skew) => {
          const entry = { ...entryAt(at, { age, ttl, skew }), expires_in: seconds(expires_in) };
          const instant = seconds(at + elapsed);
          const judgement = judge(entry, instant);
          if (judgement.act !== 'print') return;
          assert.ok(elapsed < ttl && elapsed + age < 900 && elapsed < 600);
          assert.ok(judgement.expirationTimestamp > instant);
          assert.ok(judgement.expirationTimestamp <= Math.max(instant + 1, at + ttl - 10));
        },
      ),
    );
  });
});
