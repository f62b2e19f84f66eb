// The token cache among hostile things (P6), under kill -9 (P7), and its keys.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from 'esbuild';
import fc from 'fast-check';
import { nodeFiles } from '../../cli/host/node_files.ts';
import { entryName, parseEntry, printEntry } from '../../cli/warm/entry.ts';
import { parseExecInfo, printCredential } from '../../cli/warm/exec_info.ts';
import { judge } from '../../cli/warm/judge.ts';
import { cacheDirectory, fileName } from '../../cli/warm/paths.ts';
import { readEntry } from '../../cli/warm/read_cache.ts';
import { strikesOf } from '../../cli/warm/strikes.ts';
import { warningDue } from '../../cli/warm/warning.ts';
import { run } from '../../scripts/run.ts';
import { seconds } from '../../shared/time.ts';
import { countOf } from '../counts.ts';
import { installNative, PROGRAMS } from '../native/launcher.ts';
import { credentialOf, type Desk, execInfo, openDesk } from './desk.ts';
import { entryAt, KEY, LIMITS, oddEntry } from './entries.ts';
import { temporaryFolder } from './host.ts';

for (const via of PROGRAMS)
  describe(`a cache entry (${via})`, () => {
    let desk: Desk;
    let file: string;
    let good: string;
    before(async () => {
      desk = await openDesk({}, { via });
      credentialOf(await desk.getToken('dev', true));
      const [name = ''] = await desk.entries();
      file = `${desk.dir}/cache/${name}`;
      good = readFileSync(file, 'utf8');
    });
    beforeEach(() => {
      rmSync(file, { recursive: true, force: true });
    });
    after(() => desk.stop());

    /** What is there is a miss with this reason; the call succeeds, and afterwards the entry is good again. */
    const isMissAndHeals = async (reason: RegExp) => {
      const result = await desk.getToken('dev', false);
      credentialOf(result);
      assert.match(result.stderr, reason);
      assert.equal(result.stderr.split('\n').length, 2, result.stderr);
      assert.ok(lstatSync(file).isFile());
      assert.equal(lstatSync(file).mode & 0o777, 0o600);
      const again = await desk.getToken('dev', false);
      credentialOf(again);
      assert.equal(again.stderr, '');
    };
    const write = (content: string | Uint8Array) => writeFileSync(file, content, { mode: 0o600 });

    it('that is empty, truncated or random is a miss with a reason, and heals (P6)', async () => {
      for (const content of ['', good.slice(0, good.length / 2), '\0\x01ÿ not json', '[]', 'null', '{}']) {
        write(content);
        await isMissAndHeals(/^curfew: cache: .* is (not JSON|not an object|another version); continuing without$/m);
      }
    });

    it('of a later version is a miss with a reason, and heals (P6)', async () => {
      write(JSON.stringify({ ...JSON.parse(good), version: 2 }));
      await isMissAndHeals(/is another version/);
    });

    it('that was copied from another cluster, broker or max_age is a miss (P6)', async () => {
      for (const other of [{ cluster: 'prod' }, { broker: 'https://other.example.com' }, { max_age: 60 }]) {
        write(JSON.stringify({ ...JSON.parse(good), ...other }));
        await isMissAndHeals(/is for another broker, cluster or max_age/);
      }
    });

    it('P6 with absurd times, or a damaged signature, is a miss with a reason, and heals', async () => {
      const last = good.lastIndexOf('","expires_in"');
      const flipped = `${good.slice(0, last - 2)}${good[last - 2] === 'A' ? 'B' : 'A'}${good.slice(last - 1)}`;
      const huge = good.replace(/"broker_time":\d+/, '"broker_time":9007199254740991');
      for (const content of [flipped, huge, good.replace(/,"sum":"[^"]*"/, '')]) {
        assert.notEqual(content, good);
        write(content);
        await isMissAndHeals(/ is damaged; continuing without$/m);
      }
      // Where the sum itself says that it is right.
      const entry = parseEntry(huge, { ...KEY, ...JSON.parse(huge) });
      assert.ok(typeof entry !== 'string');
      write(printEntry({ ...entry, broker: desk.url, cluster: 'dev', max_age: undefined }));
      credentialOf(await desk.getToken('dev', false));
    });

    it('of 100 MB is a miss, read at no length (P6)', async () => {
      write(Buffer.alloc(100 * 1024 * 1024, 0x20));
      await isMissAndHeals(/is too large/);
    });

    it('that is a symbolic link is a miss, and what it points to is not written (P6)', async () => {
      const target = `${desk.dir}/target`;
      writeFileSync(target, good, { mode: 0o600 });
      symlinkSync(target, file);
      await isMissAndHeals(/is a symbolic link/);
      assert.equal(readFileSync(target, 'utf8'), good);
    });

    it('that is a FIFO is a miss, at once (P6)', async () => {
      execFileSync('mkfifo', [file]);
      await isMissAndHeals(/is not a regular file/);
    });

    it('that is open to others is a miss, and heals (P6)', async () => {
      write(good);
      chmodSync(file, 0o644);
      await isMissAndHeals(/is open to others/);
    });

    it('that is a directory is a miss; the call continues without (P6)', async () => {
      mkdirSync(file);
      const result = await desk.getToken('dev', false);
      credentialOf(result);
      assert.match(result.stderr, /is not a regular file/);
    });

    // Nobody else can give a file away.
    if (process.getuid?.() === 0)
      it('that belongs to another user is a miss (P6)', async () => {
        write(good);
        chownSync(file, 65_534, 65_534);
        await isMissAndHeals(/belongs to another user/);
      });

    it('in a directory that is open to others is a miss, and nothing is written there (P6)', async () => {
      const cache = `${desk.dir}/open`;
      mkdirSync(cache);
      chmodSync(cache, 0o777);
      const result = await desk.getToken('dev', false, { env: { CURFEW_CACHE_DIR: cache } });
      credentialOf(result);
      assert.match(
        result.stderr,
        /^curfew: cache: \S+ is open to others: its mode must be 0700; continuing without\n$/,
      );
      assert.deepEqual(readdirSync(cache), []);
    });

    it('in a directory that is a symbolic link, a file or somebody else’s is a miss, and nothing is written there (P6)', async () => {
      const [real, link, plain] = [`${desk.dir}/real`, `${desk.dir}/link`, `${desk.dir}/plain`];
      mkdirSync(real, { mode: 0o700 });
      symlinkSync(real, link);
      writeFileSync(plain, '');
      for (const cache of [link, plain]) {
        const result = await desk.getToken('dev', false, { env: { CURFEW_CACHE_DIR: cache } });
        credentialOf(result);
        assert.match(result.stderr, /is not a directory; continuing without/);
      }
      assert.deepEqual(readdirSync(real), []);
    });

    it('cannot be where the environment names no absolute path: exit 78', async () => {
      const result = await desk.getToken('dev', false, { env: { CURFEW_CACHE_DIR: 'relative' } });
      assert.equal(result.code, 78);
    });
  });

describe('the cache under kill -9', () => {
  it('holds the old content or the new, never torn, for Node.js and the native program alike, at every kill (P7)', async () => {
    const most = countOf('cache_kills');
    const dir = temporaryFolder('torn');
    const writer = `${dir}/writer.cjs`;
    await build({
      entryPoints: [`${import.meta.dirname}/cache_writer.ts`],
      outfile: writer,
      ...{ bundle: true, platform: 'node', format: 'cjs', logLevel: 'error' },
    });
    const { command } = await installNative(`${dir}/bin`);
    const [native, ...args] = [...command, 'get-token', '--broker', KEY.broker, '--cluster', KEY.cluster];
    const whole = /\.signature([a-z])\1{19999}$/;
    let [kills, seen] = [0, 0];
    const lane = async (folder: string): Promise<void> => {
      while (kills++ < most) {
        const child = spawn(process.execPath, [writer, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
        await once(child.stdout, 'data');
        await sleep(Math.random() * 4);
        child.kill('SIGKILL');
        await once(child, 'close');
        const { entry, fault } = readEntry({ files: nodeFiles, uid: process.getuid?.() }, `${folder}/cache`, KEY);
        assert.equal(fault, undefined);
        assert.match(entry?.token ?? '', whole);
        const env = { HOME: folder, CURFEW_CACHE_DIR: `${folder}/cache`, KUBERNETES_EXEC_INFO: execInfo(false) };
        assert.equal(credentialOf(await run(native, args, { env })).token, entry?.token);
        seen += 1;
      }
    };
    await Promise.all(['a', 'b', 'c', 'd'].map((name) => lane(`${dir}/${name}`)));
    assert.equal(seen, most);
  });
});

describe('an entry', () => {
  it('P6 of any shape is judged, printed or asked about, and never throws', () => {
    const at = seconds(1_800_000_000);
    let printed = 0;
    fc.assert(
      fc.property(oddEntry, fc.integer({ min: -5, max: 400 }), (text, elapsed) => {
        const now = seconds(at + elapsed);
        const entry = parseEntry(text, KEY);
        if (typeof entry === 'string') return;
        strikesOf(entry.session ?? entryAt(at).session ?? assert.fail(), LIMITS, now, at);
        const reader = { files: { ...nodeFiles, lstat: () => undefined }, uid: 0 };
        warningDue(reader, '/nowhere', entry, now);
        const judgement = judge(entry, now);
        if (judgement.act !== 'print') return;
        printed += 1;
        const info = parseExecInfo(execInfo(false));
        const { status } = JSON.parse(printCredential(info, judgement.token, judgement.expirationTimestamp));
        assert.ok(Date.parse(status.expirationTimestamp) / 1000 > now);
        assert.ok(judgement.until > now && judgement.until <= Date.parse(status.expirationTimestamp) / 1000);
      }),
      { numRuns: 2_000 },
    );
    assert.ok(printed > 0);
  });
});

describe('names', () => {
  it('of entries are one part of a path, and differ when keys differ', () => {
    const key = fc.record({
      broker: fc.string(),
      cluster: fc.string(),
      max_age: fc.option(fc.nat(), { nil: undefined }),
    });
    fc.assert(
      fc.property(key, key, (a, b) => {
        const [left, right] = [a, b].map(({ max_age, ...rest }) =>
          entryName({ ...rest, max_age: max_age === undefined ? undefined : seconds(max_age) }),
        );
        assert.match(left ?? '', /^[^/\\:\0]+\.json$/);
        assert.ok((left ?? '').length < 200);
        assert.equal(left === right, JSON.stringify(a) === JSON.stringify(b));
      }),
    );
  });

  it('that are too long are cut, and still differ', () => {
    const names = Array.from({ length: 1_000 }, (_, i) => fileName('x'.repeat(300), `cluster-${i}`));
    assert.equal(new Set(names).size, names.length);
  });

  it('an entry of any text is parsed or refused, never thrown', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => void parseEntry(text, { broker: 'b', cluster: 'c' })),
    );
  });
});

describe('the cache directory', () => {
  const dir = temporaryFolder('dirs');
  const reader = { files: nodeFiles, uid: process.getuid?.() };
  const env = { HOME: dir };

  it('is the one named, else beside the login session, else the XDG cache', () => {
    assert.equal(cacheDirectory({ ...env, CURFEW_CACHE_DIR: '/x/', XDG_RUNTIME_DIR: dir }, reader), '/x');
    assert.equal(cacheDirectory({ ...env, XDG_RUNTIME_DIR: dir, XDG_CACHE_HOME: '/c' }, reader), `${dir}/curfew`);
    assert.equal(cacheDirectory({ ...env, XDG_CACHE_HOME: '/c' }, reader), '/c/curfew');
    assert.equal(cacheDirectory(env, reader), `${dir}/.cache/curfew`);
    assert.equal(cacheDirectory({ HOME: 'relative' }, reader), undefined);
  });

  it("is not in another person's runtime directory, or in one that is gone", () => {
    assert.equal(cacheDirectory({ ...env, XDG_RUNTIME_DIR: `${dir}/gone` }, reader), `${dir}/.cache/curfew`);
    const stranger = { ...reader, uid: (reader.uid ?? 0) + 1 };
    assert.equal(cacheDirectory({ ...env, XDG_RUNTIME_DIR: dir }, stranger), `${dir}/.cache/curfew`);
    assert.ok(!existsSync(`${dir}/.cache`));
  });
});
