// The story of a session from outside: the plugin's bundle against a real broker and a real IdP.

import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { administer } from '../../broker/commands/administration.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { fromMilliseconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { PROGRAMS } from '../native/launcher.ts';
import { claimsOf } from '../support/holder.ts';
import { INSTANT } from '../support/local_time.ts';
import { credentialOf, type Desk, openDesk, refusalOf } from './desk.ts';

const SHORT = {
  policy: {
    limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' },
    segments: [
      { name: 'prod', match: { clusters: ['prod'] }, limits: { max_age: '8s', token_ttl: '2s' } },
      { name: 'vault', match: { clusters: ['vault'] }, limits: { acr: ['mfa'] } },
    ],
  },
};

const promptsOf = (desk: Desk) =>
  desk.idp.requests.filter(({ path }) => path === '/auth').map(({ query }) => query.prompt ?? '');

describe('a first call', () => {
  let desk: Desk;
  before(async () => {
    desk = await openDesk();
  });
  after(() => desk.stop());

  it('without a terminal is refused at once: not logged in', async () => {
    // The broker may have asked for what the provider publishes.
    const before = desk.browser.visits().length;
    const result = await desk.getToken('dev', false);
    assert.equal(result.code, 77);
    const { error, hint } = refusalOf(result);
    assert.equal(error, 'not logged in');
    assert.equal(hint, `run: kubectl curfew login --broker ${desk.url}`);
    assert.ok(desk.idp.requests.every(({ method, path }) => method === 'GET' && /well-known|jwks/.test(path)));
    assert.equal(desk.browser.visits().length, before);
  });

  it('at a terminal logs in, prints the URL on stderr, and continues', async () => {
    const result = await desk.getToken('dev', true);
    const { token, expires } = credentialOf(result);
    const claims = claimsOf(token);
    assert.equal(claims.aud, 'dev-audience');
    assert.equal(claims.username, 'curfew:alice@example.com');
    assert.ok(Math.abs(expires - (Number(claims.exp) - 10)) <= 1);
    assert.match(result.stderr, /^curfew: not logged in: logging in$/m);
    assert.match(result.stderr, /^curfew: log in at: http:\/\/127\.0\.0\.1:[0-9]+\/[A-Za-z0-9_-]{22}$/m);
    const [request] = desk.idp.requests.filter(({ path }) => path === '/auth');
    assert.equal(request?.query.max_age, '3600');
    assert.equal(request?.query.code_challenge_method, 'S256');
    assert.equal(request?.query.prompt, undefined);
  });

  it('leaves a page in the browser that says who, for which cluster, how long', async () => {
    const [visit] = await desk.browser.waitForVisits(1);
    assert.match(
      JSON.stringify(visit),
      new RegExp(`curfew:alice@example.com is logged in for the cluster dev, for 1h, until ${INSTANT}`),
    );
  });

  it('is followed by calls that touch neither broker nor IdP', async () => {
    const [requests, lines] = [desk.idp.requests.length, desk.broker.audit().length];
    for (let i = 0; i < 5; i++) credentialOf(await desk.getToken('dev', i % 2 === 0));
    assert.equal(desk.idp.requests.length, requests);
    assert.equal(desk.broker.audit().length, lines);
  });

  it('for another cluster renews, without IdP and without a terminal', async () => {
    const requests = desk.idp.requests.length;
    const { token } = credentialOf(await desk.getToken('prod', false));
    assert.equal(claimsOf(token).aud, 'prod-audience');
    assert.equal(desk.idp.requests.length, requests);
  });

  it('with --max-age has an entry of its own and a token that is not longer', async () => {
    const before = (await desk.entries()).length;
    const { token } = credentialOf(await desk.getToken('dev', false, { more: ['--max-age', '90s'] }));
    const { exp, auth_time } = claimsOf(token);
    assert.ok(Number(exp) <= Number(auth_time) + 90);
    assert.equal((await desk.entries()).length, before + 1);
  });

  it('keeps secrets in a 0600 file where there is no keychain, said once, and nothing secret elsewhere', async () => {
    const [name = ''] = await readdir(`${desk.dir}/config/secrets`);
    const file = `${desk.dir}/config/secrets/${name}`;
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const { handle } = JSON.parse(await readFile(file, 'utf8'));
    const again = await desk.curfew(['login', '--broker', desk.url, '--ca-file', desk.ca_file]);
    assert.equal(again.code, 0, again.stderr);
    assert.doesNotMatch(again.stderr, /keychain/);
    for (const folder of ['config/sessions', 'cache']) {
      for (const other of await readdir(`${desk.dir}/${folder}`)) {
        assert.ok(!(await readFile(`${desk.dir}/${folder}/${other}`, 'utf8')).includes(handle), other);
      }
    }
  });

  it('an explicit login forgets the tokens of the one before, and asks for the person', async () => {
    assert.deepEqual(await desk.entries(), []);
    assert.equal(promptsOf(desk).at(-1), 'login');
  });
});

for (const via of PROGRAMS)
  describe(`a login that is too old for a cluster (${via})`, () => {
    let desk: Desk;
    before(async () => {
      desk = await openDesk(SHORT, { via });
      credentialOf(await desk.getToken('dev', true));
      credentialOf(await desk.getToken('prod', false));
      await sleep(9_000);
    });
    after(() => desk.stop());

    it('is refused without a terminal, with age and limit, offline, without lock or tab (P2, P3)', async () => {
      const [requests, lines] = [desk.idp.requests.length, desk.broker.audit().length];
      const results = await Promise.all(Array.from({ length: 10 }, () => desk.getToken('prod', false)));
      for (const result of results) {
        assert.equal(result.code, 77);
        const { error, hint, before } = refusalOf(result);
        assert.match(error, /^login is too old: last login \d+s ago, limit 8s$/);
        assert.match(hint, /^run: kubectl curfew login --broker https:\/\/\S+$/);
        assert.deepEqual(before, []);
      }
      assert.equal(desk.idp.requests.length, requests);
      assert.equal(desk.broker.audit().length, lines);
    });

    it('is refused in the same way when the broker is away', async () => {
      await desk.stopBroker();
      assert.equal((await desk.getToken('prod', false)).code, 77);
      await desk.restartBroker();
    });

    it('leaves other clusters as they were', async () => {
      credentialOf(await desk.getToken('dev', false));
    });

    it('is renewed at a terminal, where the IdP sees the smaller max_age', async () => {
      const result = await desk.getToken('prod', true);
      credentialOf(result);
      assert.match(result.stderr, /^curfew: login is too old: last login \d+s ago, limit 8s: logging in$/m);
      assert.equal(desk.idp.requests.filter(({ path }) => path === '/auth').at(-1)?.query.max_age, '8');
    });

    it('with an IdP that answers with an old auth_time all the same: one try in the same tab, then refused (S3)', async () => {
      desk.idp.setAuthTimeOffset('alice', 600);
      const [tabs, prompts] = [desk.browser.visits().length, promptsOf(desk).length];
      await sleep(8_000);
      const result = await desk.getToken('prod', true);
      desk.idp.setAuthTimeOffset('alice', 0);
      assert.equal(result.code, 77);
      assert.match(
        refusalOf(result).error,
        /^login is too old: .*; the identity provider did not ask for a new login$/,
      );
      assert.deepEqual(
        promptsOf(desk)
          .slice(prompts)
          .filter((prompt, i, all) => i === 0 || prompt !== all[i - 1]),
        ['', 'login'],
      );
      assert.equal(desk.browser.visits().length, tabs + 1);
    });
  });

describe('a session that has ended', () => {
  let desk: Desk;
  before(async () => {
    desk = await openDesk();
    credentialOf(await desk.getToken('dev', true));
  });
  after(() => desk.stop());

  it('by logout is refused for all clusters, offline', async () => {
    const result = await desk.curfew(['logout', '--broker', desk.url, '--ca-file', desk.ca_file]);
    assert.equal(result.code, 0, result.stderr);
    assert.ok(desk.broker.audit().some(({ event }) => /end/.test(event)));
    const lines = desk.broker.audit().length;
    for (const cluster of ['dev', 'prod']) {
      const refused = await desk.getToken(cluster, false);
      assert.equal(refused.code, 77);
      assert.equal(refusalOf(refused).error, 'logged out');
    }
    assert.equal(desk.broker.audit().length, lines);
  });

  it("does not come back through the IdP's active single sign-on: the person has to come (S13)", async () => {
    const logins = desk.idp.logins;
    credentialOf(await desk.getToken('dev', true));
    assert.equal(promptsOf(desk).at(-1), 'login');
    assert.equal(desk.idp.logins, logins + 1);
  });

  it('by logout can be followed by a login at once, again and again: nobody has to come twice (S21)', async () => {
    const flags = ['--broker', desk.url, '--ca-file', desk.ca_file];
    for (let i = 0; i < 3; i++) {
      const logins = desk.idp.logins;
      assert.equal((await desk.curfew(['logout', ...flags])).code, 0);
      const result = await desk.curfew(['login', ...flags]);
      assert.equal(result.code, 0, result.stderr);
      assert.equal(desk.idp.logins, logins + 1);
    }
  });

  it('in this very second by the clock of the IdP is waited out, and the person asked once more (S21)', async () => {
    const flags = ['--broker', desk.url, '--ca-file', desk.ca_file];
    const config = await loadConfig(path.join(desk.dir, 'broker.yaml'), { env: process.env });
    const instant = fromMilliseconds(Date.now() + 15_000);
    await administer(config, (store) =>
      store.transaction(({ db }) => db.updateTable('login_after').set({ instant }).execute()),
    );
    const logins = desk.idp.logins;
    const result = await desk.curfew(['login', ...flags]);
    assert.equal(result.code, 0, result.stderr);
    assert.match(result.stderr, /was ended after this login .*: once more$/m);
    assert.equal(desk.idp.logins, logins + 2);
    credentialOf(await desk.getToken('dev', true));
  });

  it('by another login elsewhere with the copied handle is not known here until asked, then remembered', async () => {
    // The copied session is revoked by its own key: here nobody knows yet.
    const copy = { CURFEW_CONFIG_DIR: `${desk.dir}/copy` };
    const { cp } = await import('node:fs/promises');
    await cp(`${desk.dir}/config`, `${desk.dir}/copy`, { recursive: true });
    const away = { CURFEW_CACHE_DIR: `${desk.dir}/copy-cache`, ...copy };
    const result = await desk.curfew(['logout', '--broker', desk.url, '--ca-file', desk.ca_file], away);
    assert.equal(result.code, 0, result.stderr);

    credentialOf(await desk.getToken('dev', false));
    const refused = await desk.getToken('prod', false);
    assert.equal(refused.code, 77);
    assert.match(refusalOf(refused).error, /session is over: logged out/);
    const lines = desk.broker.audit().length;
    assert.equal((await desk.getToken('prod', false)).code, 77);
    assert.equal((await desk.getToken('vault', false)).code, 77);
    assert.equal(desk.broker.audit().length, lines);
    credentialOf(await desk.getToken('prod', true));
    assert.equal(promptsOf(desk).at(-1), 'login');
  });

  it('cannot be ended while the broker is down: erased here, exit 69, with the time until which it is active there', async () => {
    await desk.stopBroker();
    const result = await desk.curfew(['logout', '--broker', desk.url, '--ca-file', desk.ca_file]);
    assert.equal(result.code, 69);
    assert.match(
      refusalOf(result).error,
      new RegExp(
        String.raw`127\.0\.0\.1:\d+ is out of reach: connection refused; the session is active there until ${INSTANT}$`,
      ),
    );
    const [name = ''] = await readdir(`${desk.dir}/config/secrets`);
    const secret: unknown = JSON.parse(await readFile(`${desk.dir}/config/secrets/${name}`, 'utf8'));
    assert.ok(isObject(secret) && !('handle' in secret) && 'dpop_private_jwk' in secret);
    assert.equal((await desk.getToken('dev', false)).code, 77);
    await desk.restartBroker();
  });
});

describe('a cluster that requires an acr', () => {
  let desk: Desk;
  before(async () => {
    desk = await openDesk();
    credentialOf(await desk.getToken('dev', true));
  });
  after(() => desk.stop());

  /** What a step-up must not do more than once: open a tab, ask the person, exchange. */
  const counts = () => ({
    tabs: desk.browser.visits().length,
    exchanges: desk.broker.audit().filter(({ event, grant }) => event === 'login' || grant === 'exchange').length,
  });
  const since = ({ tabs, exchanges }: ReturnType<typeof counts>) => {
    const now = counts();
    return { tabs: now.tabs - tabs, exchanges: now.exchanges - exchanges };
  };

  it('is refused without a terminal, and the hint names the cluster', async () => {
    const before = counts();
    const result = await desk.getToken('vault', false);
    assert.equal(result.code, 77);
    const { error, hint } = refusalOf(result);
    assert.match(error, /acr mfa is required/);
    assert.match(hint, /--cluster vault$/);
    assert.deepEqual(since(before), { tabs: 0, exchanges: 0 });
  });

  it('is refused again without a terminal, offline: only a login changes it', async () => {
    const lines = desk.broker.audit().length;
    assert.equal((await desk.getToken('vault', false)).code, 77);
    assert.equal(desk.broker.audit().length, lines);
    credentialOf(await desk.getToken('dev', false));
  });

  it('whose IdP does not give it is refused after one login, with that reason', async () => {
    const [before, prompts] = [counts(), promptsOf(desk).length];
    const result = await desk.getToken('vault', true);
    assert.equal(result.code, 77);
    assert.match(
      refusalOf(result).error,
      /acr mfa is required; the identity provider was asked for it and did not give it/,
    );
    const asked = desk.idp.requests.filter(({ path }) => path === '/auth').slice(prompts);
    assert.ok(asked.length >= 1 && asked.every(({ query }) => query.acr_values === 'mfa'));
    assert.deepEqual(since(before), { tabs: 1, exchanges: 1 });
    credentialOf(await desk.getToken('dev', false));
  });

  it('whose IdP gives another one is refused likewise: one login, one clear refusal, no loop', async () => {
    desk.idp.setClaims((claims) => ({ ...claims, acr: 'phr' }));
    const before = counts();
    const result = await desk.getToken('vault', true);
    desk.idp.setClaims(null);
    assert.equal(result.code, 77);
    assert.match(refusalOf(result).error, /acr mfa is required; the identity provider was asked for it/);
    assert.deepEqual(since(before), { tabs: 1, exchanges: 1 });
  });

  it('is reached by one login with acr_values', async () => {
    desk.browser.set({ otp: '123456' });
    const before = counts();
    const { token } = credentialOf(await desk.getToken('vault', true));
    assert.equal(claimsOf(token).acr, 'mfa');
    assert.deepEqual(since(before), { tabs: 1, exchanges: 1 });
  });

  it('continues without a further login, there and elsewhere', async () => {
    const before = counts();
    for (const cluster of ['vault', 'dev', 'prod']) credentialOf(await desk.getToken(cluster, true));
    assert.deepEqual(since(before), { tabs: 0, exchanges: 0 });
  });
});

describe('a broker that is away', () => {
  let desk: Desk;
  before(async () => {
    desk = await openDesk();
    credentialOf(await desk.getToken('dev', true));
    await desk.stopBroker();
  });
  after(() => desk.stop());

  it('does not matter while the cached token is good', async () => {
    credentialOf(await desk.getToken('dev', false));
  });

  it('fails a renewal with 69, naming the host, and remembers nothing', async () => {
    const result = await desk.getToken('prod', false);
    assert.equal(result.code, 69);
    assert.match(
      refusalOf(result).error,
      new RegExp(`^the broker at ${new URL(desk.url).host} is out of reach: connection refused$`),
    );
    await desk.restartBroker();
    credentialOf(await desk.getToken('prod', false));
  });
});

for (const via of PROGRAMS)
  describe(`a session that was not used for too long (${via})`, () => {
    let desk: Desk;
    before(async () => {
      desk = await openDesk(
        {
          policy: { limits: { max_age: '1h', inactivity_timeout: '4s', token_ttl: '2s' }, segments: [] },
        },
        { via },
      );
      credentialOf(await desk.getToken('dev', true));
      await sleep(5_000);
    });
    after(() => desk.stop());

    it('is refused after one question to the broker, for all calls together, and that is remembered (P2)', async () => {
      const lines = desk.broker.audit().length;
      const results = await Promise.all(Array.from({ length: 10 }, () => desk.getToken('dev', false)));
      for (const result of results) {
        assert.equal(result.code, 77);
        // The broker's sweeper may have ended it a moment before.
        const said = /^session is (idle for too long: not used for \d+s, limit 4s|over: it was not used for too long)$/;
        assert.match(refusalOf(result).error, said);
      }
      const asked = desk.broker.audit().length - lines;
      await desk.stopBroker();
      assert.equal((await desk.getToken('dev', false)).code, 77);
      await desk.restartBroker();
      // One refusal and one end of the session are two lines at most.
      assert.ok(asked >= 1 && asked <= 2, `${asked}`);
    });

    it('does not come back through the active single sign-on: the person has to come (S13)', async () => {
      credentialOf(await desk.getToken('dev', true));
      assert.equal(promptsOf(desk).at(-1), 'login');
    });
  });
