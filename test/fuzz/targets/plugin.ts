// What the plugin reads: what kubectl tells it, and its own files, which anybody may have edited.

import assert from 'node:assert/strict';
import { answer } from '../../../cli/warm/answer.ts';
import { checksum } from '../../../cli/warm/checksum.ts';
import { entryName, isWhole, type Key, parseEntry, printEntry } from '../../../cli/warm/entry.ts';
import { parseExecInfo, printCredential, printExecInfo } from '../../../cli/warm/exec_info.ts';
import { judge } from '../../../cli/warm/judge.ts';
import type { Machine } from '../../../cli/warm/machine.ts';
import { brokerKey, plainBrokerKey } from '../../../cli/warm/paths.ts';
import { parseRecord, printRecord } from '../../../cli/warm/session_record.ts';
import { parseConfig } from '../../../cli/warm/settings.ts';
import { parseJson } from '../../../shared/json.ts';
import { seconds } from '../../../shared/time.ts';
import { isObject } from '../../../shared/wire.ts';
import { encoded, NOW, readAgain, refusable, type Targets, textOf } from '../target.ts';
import { SESSION } from './wire.ts';

const KEY: Key = { broker: 'https://curfew.example.com', cluster: 'dev' };
const CLAIMS = { iat: NOW - 20, exp: NOW + 280, sid: 's-1' };
const token = (claims: unknown) => `h.${encoded(claims)}.s`;
const entry = { version: 1, ...KEY, minted_local: NOW - 20, session: SESSION, token: token(CLAIMS), expires_in: 300 };
const refused = { reason: 'login_too_old', message: 'x', end_reason: 'idle', acr_values: 'mfa' };
const record = {
  ...{ version: 1, broker: KEY.broker, audiences: { dev: 'dev' }, kept_in: 'file', minted_local: NOW },
  endpoints: {
    token_endpoint: 'https://c/token',
    revocation_endpoint: 'https://c/revoke',
    sessions_endpoint: 'https://c/s',
  },
  ...{ limits: { dev: SESSION.limits }, session: SESSION, not_admitted: ['prod'], ended: refused, unvouched: 'x' },
};
const INFO = printExecInfo('client.authentication.k8s.io/v1');
/** Control characters other than the end of a line, and those that turn text around. */
const HIDES = /(?!\n)[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u;

/** A machine whose cache has one file. */
function machineWith(content: string): Machine {
  const file = `/c/${entryName(KEY)}`;
  const directory = { kind: 'directory', uid: 0, mode: 0o700 } as const;
  return {
    args: ['get-token', '--broker', KEY.broker, '--cluster', KEY.cluster],
    env: { CURFEW_CACHE_DIR: '/c', CURFEW_CONFIG_DIR: '/s', KUBERNETES_EXEC_INFO: INFO },
    ...{ now: seconds(NOW), system: 'posix', runtime: 'fuzz', terminal: 'none', uid: 0, caller: () => undefined },
    files: {
      checksum,
      lstat: (path) => (path.startsWith('/c') || path.startsWith('/s') ? directory : undefined),
      read: (path) =>
        path === file ? { stat: { ...directory, kind: 'file', mode: 0o600 }, content } : { fault: 'ENOENT' },
    },
  };
}

/** A token that is printed is good now, and nothing says that it is for longer. */
function checkPrinted(token: string, expiration: number): void {
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('latin1');
  const { exp, sid } = JSON.parse(payload) as { readonly exp: number; readonly sid?: unknown };
  assert.ok(exp > NOW, 'a token that is over is printed');
  // A ServiceAccount's token, without a sid, is dated by the clock of its cluster.
  if (sid !== undefined) assert.ok(expiration <= exp, 'longer than the token');
}

export const plugin: Targets = {
  exec_info: {
    seeds: [INFO, printExecInfo('client.authentication.k8s.io/v1beta1'), '{"apiVersion":"x","kind":"ExecCredential"}'],
    run(input) {
      const text = textOf(input);
      const info = refusable(() => parseExecInfo(text));
      if (!info) return;
      const { apiVersion, kind = 'ExecCredential', spec } = JSON.parse(text);
      assert.deepEqual([info.apiVersion, kind ?? 'ExecCredential'], [apiVersion, 'ExecCredential']);
      assert.equal(info.interactive, spec?.interactive === true);
      const printed = JSON.parse(printCredential(info, 't', seconds(NOW)));
      assert.deepEqual([printed.apiVersion, Date.parse(printed.status.expirationTimestamp)], [apiVersion, NOW * 1000]);
    },
  },
  cache_entry: {
    // Entry and token by their parts, so that numbers that must agree change together.
    seeds: [
      JSON.stringify({ entry: { ...entry, token: undefined }, claims: CLAIMS }),
      JSON.stringify({ entry: { ...entry, token: undefined, refused }, claims: {} }),
    ],
    run(input) {
      const parts = parseJson(textOf(input));
      if (!isObject(parts) || !isObject(parts.entry)) return;
      const parsed = parseEntry(JSON.stringify({ ...parts.entry, token: token(parts.claims ?? {}) }), KEY);
      if (typeof parsed === 'string') return;
      const printed = printEntry(parsed);
      assert.ok(isWhole(printed, checksum), 'damaged as it is written');
      assert.deepEqual(readAgain(parseEntry(printed, KEY)), readAgain(parsed), 'not the same when it is read again');
      const judged = judge(parsed, seconds(NOW));
      if (judged.act === 'print') checkPrinted(judged.token, judged.expirationTimestamp);
    },
  },
  cache_file: {
    seeds: [
      JSON.stringify(entry),
      JSON.stringify({ ...entry, token: undefined, refused }),
      JSON.stringify({ ...entry, session: undefined, refused }),
    ],
    run(input) {
      // Once as it is, once with the sum that would be right: an attacker can make that too.
      const text = textOf(input);
      const head = text.slice(0, -1);
      for (const content of [text, `${head},"sum":"${checksum(head)}"}`]) {
        const said = answer(machineWith(content));
        if (!said) continue;
        assert.doesNotMatch(said.stderr, HIDES, 'a message that hides something');
        assert.ok(said.stderr.split('\n').length <= 4, 'a long message');
        if (said.exit !== 0) {
          assert.equal(said.stdout, '');
          continue;
        }
        assert.match(said.stdout, /^[^\n]*\n$/, 'not one line');
        const { kind, status } = JSON.parse(said.stdout);
        assert.equal(kind, 'ExecCredential');
        const expiration = Date.parse(status.expirationTimestamp) / 1000;
        assert.ok(expiration > NOW, 'kubectl would ask again at once');
        checkPrinted(status.token, expiration);
      }
    },
  },
  session_record: {
    seeds: [JSON.stringify(record), JSON.stringify({ ...record, session: undefined, ended: undefined })],
    run(input) {
      const parsed = parseRecord(textOf(input));
      if (!parsed) return;
      const again = parseRecord(printRecord(parsed));
      assert.deepEqual(readAgain(again), readAgain(parsed), 'not the same when it is read again');
    },
  },
  settings: {
    seeds: [
      JSON.stringify({
        ...{ default: 'https://c', flow: 'paste', secret_storage: 'file', brokers: { 'https://c': { ca_file: '/x' } } },
        contexts: { dev: { broker: 'https://c', cluster: 'dev', max_age: 60 } },
      }),
    ],
    run(input) {
      const config = parseConfig(textOf(input));
      if (typeof config === 'string') {
        assert.doesNotMatch(config, HIDES, 'a message that hides something');
        return;
      }
      const again = parseConfig(JSON.stringify(config));
      assert.deepEqual(readAgain(again), readAgain(config), 'not the same when it is read again');
    },
  },
  broker_key: {
    seeds: [
      'https://curfew.example.com',
      'http://127.0.0.1:8443/a/b/',
      'https://[::1]:443/',
      'https://xn--bcher-kva.example',
    ],
    run(input) {
      const text = textOf(input);
      if (!/^https?:\/\//i.test(text)) return;
      const plain = plainBrokerKey(text);
      // The native program and Node.js must come to the same name.
      if (plain !== undefined) assert.equal(plain, new URL(text).href.replace(/\/+$/, ''), 'another name than by URL');
      assert.equal(brokerKey(brokerKey(text)), brokerKey(text), 'not the same twice');
    },
  },
};
