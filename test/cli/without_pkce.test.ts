// Logins at an identity provider that knows nothing of PKCE: each way brings a session, as what a code brings is held to the login
// by the nonce, which commits to the key; here and at the broker.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, beforeEach, describe, it } from 'node:test';
import { Agent, fetch as fetchBy } from 'undici';
import { enterCode } from '../support/device_visit.ts';
import { addressLeftAt } from '../support/elsewhere.ts';
import { claimsOf, Holder } from '../support/holder.ts';
import type { Pty } from '../support/pty.ts';
import { credentialOf, type Desk, openDesk } from './desk.ts';

const ALICE = { user: 'alice', password: 'wonderland', otp: '' };
const BOB = { user: 'bob', password: 'builder', otp: '' };

describe('an identity provider without PKCE', () => {
  let desk: Desk;
  before(async () => {
    const idp = { pkce: false, device_grant: true };
    desk = await openDesk({}, { idp, identityProvider: { device_grant: true } });
  });
  beforeEach(async () => {
    await desk.curfew(['logout', '--broker', desk.url, '--ca-file', desk.ca_file]);
    desk.idp.endSessions(null);
  });
  after(() => desk.stop());

  const env = { BROWSER: undefined, SSH_TTY: '/dev/pts/0', TERM: 'dumb' };
  const begin = (flow: string): Pty =>
    desk.curfewAtTerminal(['login', '--flow', flow, '--broker', desk.url, '--ca-file', desk.ca_file], env);
  const pasteAddress = async (pty: Pty) => {
    const address = (await pty.waitFor(/(?<=log in, in any browser, at: )\S+[^\r\n]*/)).replace(/\s+/g, '');
    await pty.waitFor('paste that address, or the code in it: ');
    return address;
  };
  const succeeds = async (pty: Pty) => {
    await pty.waitFor(/logged in as curfew:alice@example\.com for /);
    assert.equal((await pty.exit).code, 0);
    const { token } = credentialOf(await desk.getToken('dev', false));
    assert.equal(claimsOf(token).username, 'curfew:alice@example.com');
  };
  const codeOf = (address: string) => new URL(address).searchParams.get('code') ?? '';
  const logins = () => desk.broker.audit().filter(({ event }) => event === 'login').length;

  it('takes a login by the browser; the challenge goes to it all the same', async () => {
    const { token } = credentialOf(await desk.getToken('dev', true));
    assert.equal(claimsOf(token).username, 'curfew:alice@example.com');
    const { query } = desk.idp.requests.findLast(({ path }) => path === '/auth') ?? {};
    assert.equal(query?.code_challenge_method, 'S256');
    const announced = await fetch(`${desk.idp.issuer}/.well-known/openid-configuration`);
    assert.ok(!('code_challenge_methods_supported' in ((await announced.json()) as object)));
  });

  it('takes a login by device code', async () => {
    using pty = begin('device');
    const address = await pty.waitFor(/(?<=log in at: )\S+/);
    await enterCode(address, await pty.waitFor(/(?<=with the code: )\S+/), ALICE);
    await succeeds(pty);
  });

  for (const [what, part] of [
    ['the whole address', (address: string) => address],
    ['the code alone', codeOf],
  ] as const)
    it(`takes a login by paste of ${what}`, async () => {
      using pty = begin('paste');
      pty.write(`${part(await addressLeftAt(await pasteAddress(pty), ALICE, 'login'))}\r`);
      await succeeds(pty);
    });

  it("opens no session by a pasted code of somebody else's login: the nonce is not this one's (T5)", async () => {
    using pty = begin('paste');
    const theirs = new URL(await pasteAddress(pty));
    const ours = theirs.searchParams.get('nonce') ?? '';
    theirs.searchParams.set('nonce', new Holder({ issuer: desk.url, url: desk.url }).nonce);
    const before = logins();
    pty.write(`${codeOf(await addressLeftAt(theirs.href, BOB, 'login'))}\r`);
    await pty.waitFor(/curfew: the identity provider at \S+ answered for another login: once more/);
    await pty.waitFor('paste that address');
    assert.equal(logins(), before);
    assert.equal((await desk.getToken('dev', false)).code, 77);
    theirs.searchParams.set('nonce', ours);
    pty.write(`${codeOf(await addressLeftAt(theirs.href, ALICE, 'login'))}\r`);
    await succeeds(pty);
  });

  it('gives an ID token to whoever got hold of a code, which opens no session without the key (T5)', async () => {
    using pty = begin('paste');
    const address = new URL(await pasteAddress(pty));
    const code = codeOf(await addressLeftAt(address.href, ALICE, 'login'));
    const form = { grant_type: 'authorization_code', client_id: desk.idp.clientId, code };
    const body = new URLSearchParams({ ...form, redirect_uri: address.searchParams.get('redirect_uri') ?? '' });
    const response = await fetch(`${desk.idp.issuer}/token`, { method: 'POST', body });
    const { id_token } = (await response.json()) as { id_token: string };
    assert.equal(claimsOf(id_token).nonce, address.searchParams.get('nonce'));
    const before = logins();
    const dispatcher = new Agent({ connect: { ca: await readFile(desk.ca_file, 'utf8') } });
    const send = (url: string, init: object) => fetchBy(url, { ...init, dispatcher }) as unknown as Promise<Response>;
    const thief = new Holder({ issuer: desk.url, url: desk.url, send });
    assert.equal((await thief.exchange(id_token)).refused.reason, 'id_token_nonce');
    await dispatcher.close();
    assert.equal(logins(), before);
  });
});
