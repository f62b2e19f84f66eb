// A cluster whose own tokens are used, and whose API server gives none just now: the login stands, and the session handle never
// passes for a token.

import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { parseSecret } from '../../cli/secrets/secret.ts';
import { type Desk, openDesk, refusalOf } from './desk.ts';
import { temporaryFolder } from './host.ts';

let desk: Desk;
before(async () => {
  const broker_token_file = `${temporaryFolder('token')}/token`;
  await writeFile(broker_token_file, 'a-token');
  const common = { ca_file: undefined, allowed_groups: ['*'] };
  desk = await openDesk({
    clusters: [
      {
        ...{ ...common, name: 'managed', server: 'https://127.0.0.1:1', audience: 'managed', broker_token_file },
        ...{ credential: 'service-account', service_accounts: [{ group: '*', namespace: 'people', name: 'all' }] },
      },
      { ...common, name: 'plain', server: 'https://127.0.0.1:1', audience: 'plain' },
    ],
    policy: { limits: { max_age: '1h', inactivity_timeout: '30m', token_ttl: '5m' } },
  });
  await desk.curfew(['setup', '--broker', desk.url, '--ca-file', desk.ca_file]);
});
after(() => desk.stop());

const handle = () => {
  const [file = ''] = readdirSync(`${desk.dir}/config/secrets`);
  return parseSecret(readFileSync(`${desk.dir}/config/secrets/${file}`, 'utf8'))?.handle ?? '';
};
/** All that the plugin wrote, but for where secrets are kept. */
const written = () =>
  ['cache', 'config/sessions']
    .map((folder) => `${desk.dir}/${folder}`)
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).map((name) => readFileSync(`${folder}/${name}`, 'latin1')));

describe('a login for a cluster whose API server is away', () => {
  it('opens the session, prints nothing, and says what is away: exit 69, one error, one hint', async () => {
    const result = await desk.getToken('managed', true);
    assert.deepEqual([result.code, result.stdout], [69, '']);
    assert.match(
      result.stderr,
      /^curfew: error: .*the API server of cluster managed cannot be reached \(ECONNREFUSED\)$/m,
    );
    assert.equal(result.stderr.match(/^curfew: (error|hint): /gm)?.length, 2, result.stderr);
    assert.equal(desk.browser.visits().length, 1);
    assert.notEqual(handle(), '');
    for (const text of [...written(), result.stderr]) assert.ok(!text.includes(handle()));
  });

  it('is not made again: the next call fails for the same reason, without a tab, and another cluster gives a token', async () => {
    const result = await desk.getToken('managed', true);
    assert.deepEqual([result.code, result.stdout], [69, '']);
    assert.match(refusalOf(await desk.getToken('managed', false)).error, /API server of cluster managed/);
    assert.equal((await desk.getToken('plain', false)).code, 0);
    assert.equal(desk.browser.visits().length, 1);
  });

  it('by hand succeeds, and says what is missing', async () => {
    const { code, stdout, stderr } = await desk.curfew(['login', '--cluster', 'managed']);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^logged in as curfew:alice@example\.com for 1h/);
    assert.match(stderr, /^curfew: the login is good; managed gives no token yet: .*API server of cluster managed/m);
    for (const text of [...written(), stdout, stderr]) assert.ok(!text.includes(handle()));
  });

  it('status and sessions list say which credential it gets, and how soon an end takes effect', async () => {
    const status = await desk.curfew(['status']);
    assert.match(
      status.stdout,
      /managed: .*\n(?: {11}.*\n)*? {11}acts as a service account of the cluster\n {11}an end takes effect within 11s$/m,
    );
    const list = await desk.curfew(['sessions', 'list']);
    assert.match(list.stdout, /managed \(service account\) within 11s/);
    assert.match(list.stdout, /plain within 5m 10s/);
  });
});
