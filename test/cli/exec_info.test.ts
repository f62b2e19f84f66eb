// What kubectl says to the plugin, rightly and wrongly (P10), by both programs.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseExecInfo, printCredential } from '../../cli/warm/exec_info.ts';
import { run } from '../../scripts/run.ts';
import { CurfewError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';
import { installNative, nodeProgram, type Program } from '../native/launcher.ts';
import { execInfo, refusalOf } from './desk.ts';
import { temporaryFolder } from './host.ts';

const home = temporaryFolder('home');
const programs = [await installNative(`${home}/bin`), await nodeProgram()];
const getToken = ([program, ...words]: Program['command'], info: string | undefined) =>
  run(program, [...words, 'get-token', '--broker', 'https://127.0.0.1:1', '--cluster', 'dev'], {
    env: { HOME: home, KUBERNETES_EXEC_INFO: info },
  });

describe('KUBERNETES_EXEC_INFO', () => {
  const wrong: Readonly<Record<string, string | undefined>> = {
    absent: undefined,
    empty: '',
    'not JSON': '{',
    'not an object': '[]',
    null: 'null',
    'of another kind': JSON.stringify({ kind: 'TokenReview', apiVersion: 'client.authentication.k8s.io/v1' }),
    'without a version': JSON.stringify({ kind: 'ExecCredential', spec: {} }),
    'of an unknown version': execInfo(false, 'client.authentication.k8s.io/v2'),
    'of the dead v1alpha1': execInfo(false, 'client.authentication.k8s.io/v1alpha1'),
    huge: JSON.stringify({ kind: 'ExecCredential', padding: 'x'.repeat(120_000) }),
  };
  for (const { name, command } of programs) {
    for (const [what, info] of Object.entries(wrong)) {
      it(`${what}, to ${name}: exit 64 and empty stdout (P10, I4)`, async () => {
        const result = await getToken(command, info);
        assert.equal(result.code, 64);
        assert.match(refusalOf(result).error, /^KUBERNETES_EXEC_INFO /);
      });
    }
  }

  it('without a kind, as clients in Rust say it, or without a spec, is taken', () => {
    const apiVersion = 'client.authentication.k8s.io/v1';
    for (const more of [{}, { kind: null }, { spec: null }, { spec: {} }, { spec: { interactive: 'yes' } }])
      assert.deepEqual(parseExecInfo(JSON.stringify({ apiVersion, ...more })), { apiVersion, interactive: false });
    const spec = { interactive: true };
    assert.equal(parseExecInfo(JSON.stringify({ apiVersion, spec })).interactive, true);
  });

  it('of a client that is too old is refused with a hint that does not lead back to setup', () => {
    const text = JSON.stringify({ kind: 'ExecCredential', apiVersion: 'client.authentication.k8s.io/v1alpha1' });
    assert.throws(() => parseExecInfo(text), { code: 'usage', hint: /^use a client that speaks (?!.*setup)/ });
  });

  it('larger than 1 MiB is not even parsed (P10)', () => {
    const text = JSON.stringify({ kind: 'ExecCredential', padding: 'x'.repeat(1024 * 1024) });
    assert.throws(() => parseExecInfo(text), { code: 'usage', message: /too large/ });
  });

  it('whatever it is: parsed or refused as usage, never another failure', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), fc.constant(execInfo(true))), (text) => {
        try {
          parseExecInfo(text);
        } catch (error) {
          assert.ok(error instanceof CurfewError && error.code === 'usage');
        }
      }),
    );
  });

  it('is answered in the version it is in', () => {
    for (const version of ['v1', 'v1beta1']) {
      const info = parseExecInfo(execInfo(true, `client.authentication.k8s.io/${version}`));
      const credential = JSON.parse(printCredential(info, 'token', seconds(1_800_000_000)));
      assert.deepEqual(credential, {
        kind: 'ExecCredential',
        apiVersion: `client.authentication.k8s.io/${version}`,
        spec: { interactive: true },
        status: { expirationTimestamp: '2027-01-15T08:00:00Z', token: 'token' },
      });
    }
  });

  it('counts as interactive only when it says exactly so', () => {
    for (const spec of [undefined, {}, { interactive: 'true' }, { interactive: 1 }, { interactive: false }]) {
      const text = JSON.stringify({ kind: 'ExecCredential', apiVersion: 'client.authentication.k8s.io/v1', spec });
      assert.equal(parseExecInfo(text).interactive, false);
    }
  });
});
