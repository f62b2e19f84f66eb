// The table of codes: whole, consistent, and with an entry for whatever the engine says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { REASONS } from '../../shared/decide.ts';
import { CODES, type Code, CurfewError, EXIT, isCode, meaning } from '../../shared/errors.ts';

const codes = Object.keys(CODES).filter(isCode);

test('the table has codes, spelled in small letters and underscores', () => {
  assert.ok(codes.length > 20);
  assert.equal(codes.length, Object.keys(CODES).length);
  for (const code of codes) assert.match(code, /^[a-z]+(_[a-z]+)*$/);
});

test('every reason of the engine is a code that asks for a login, exit 77', () => {
  assert.ok(REASONS.length > 0);
  for (const reason of REASONS) {
    assert.ok(isCode(reason), reason);
    assert.equal(meaning(reason).exit, EXIT.login_required);
  }
});

test('every code has an exit status of sysexits that is not success', () => {
  const said = Object.values(EXIT).filter((exit) => exit !== EXIT.done && exit !== EXIT.findings);
  const failures = new Set<number>(said);
  assert.deepEqual([...failures].sort(), [64, 69, 70, 75, 77, 78]);
  for (const code of codes) assert.ok(failures.has(meaning(code).exit), code);
});

test('every code has an HTTP status of refusal or failure, and an OAuth error that goes with it', () => {
  for (const code of codes) {
    const { status, error } = meaning(code);
    assert.match(error, /^[a-z]+(_[a-z]+)*$/, code);
    if (error === 'temporarily_unavailable') assert.ok([429, 503].includes(status), code);
    else if (error === 'server_error') assert.equal(status, 500, code);
    else if (error === 'invalid_token') assert.equal(status, 401, code);
    else if (error === 'access_denied') assert.equal(status, 403, code);
    else assert.ok([400, 404].includes(status), code);
  }
});

test('every code has a hint of one line, lower case, without a full stop', () => {
  for (const code of codes) assert.match(meaning(code).hint, /^[a-z][^\n]*[^.\s]$/, code);
});

test('what another try may cure exits 75, and what is out of reach 69', () => {
  for (const code of ['proof_invalid', 'proof_replayed', 'proof_nonce', 'busy'] as const) {
    assert.equal(meaning(code).exit, EXIT.try_again, code);
  }
  for (const code of [
    'unavailable',
    'identity_provider',
    'broker_unreachable',
    'store',
    'draining',
    'api_server',
  ] as const) {
    assert.equal(meaning(code).exit, EXIT.unavailable, code);
  }
});

test('isCode takes the codes and nothing else, whatever the prototype holds', () => {
  for (const text of ['', 'toString', 'constructor', '__proto__', 'hasOwnProperty', 'LOGIN_TOO_OLD', null, 1, {}, []]) {
    assert.ok(!isCode(text), String(text));
  }
  fc.assert(fc.property(fc.anything(), (value) => assert.equal(isCode(value), codes.includes(value as Code))));
});

test("an error carries its code, its code's hint or its own, and its cause without saying it", () => {
  const cause = new Error('secret');
  const error = new CurfewError('store', 'the store does not answer', { cause });
  assert.ok(error instanceof Error);
  assert.deepEqual([error.name, error.code, error.hint], ['CurfewError', 'store', meaning('store').hint]);
  assert.equal(error.cause, cause);
  assert.doesNotMatch(`${error} ${error.message} ${error.hint} ${JSON.stringify(error)}`, /secret/);
  assert.equal(new CurfewError('usage', 'x', { hint: 'own hint' }).hint, 'own hint');
  assert.ok(!('cause' in new CurfewError('usage', 'x')));
});
