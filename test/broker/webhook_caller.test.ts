// Who calls a webhook or introspects: the cluster whose token is presented, exactly as it is spelled.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, test } from 'node:test';
import type { Config } from '../../broker/config/settings.ts';
import { clusterOfToken } from '../../broker/webhooks/caller.ts';
import { type ConfigFiles, makeConfigFiles, SETTINGS } from './config_files.ts';

const [prod, dev] = [randomBytes(32), randomBytes(32)];
const FILES = { 'prod-hook': prod.toString('base64'), 'dev-hook': dev.toString('hex') };

/** A third cluster has no webhook. */
function clusters(prod_file: string, dev_file: string) {
  const [first, second] = SETTINGS.clusters;
  const webhook = (token_file: string) => ({ webhook: { token_file, on_failure: 'deny' } });
  const third = { ...second, name: 'lab', audience: 'lab' };
  return { clusters: [{ ...first, ...webhook(prod_file) }, { ...second, ...webhook(dev_file) }, third] };
}

let files: ConfigFiles;
let config: Config;
before(async () => {
  files = await makeConfigFiles();
  config = await files.load(clusters('prod-hook', 'dev-hook'), FILES);
});

const callerOf = (authorization: string | undefined) => clusterOfToken(config, authorization)?.name;

describe('the caller of a webhook', () => {
  test('is the cluster whose token it presents, however the file spells it', () => {
    assert.equal(callerOf(`Bearer ${prod.toString('base64url')}`), 'prod-eu');
    assert.equal(callerOf(`bearer ${dev.toString('base64url')}`), 'dev');
  });

  test('is nobody without token, with another, in another spelling or scheme', () => {
    const token = prod.toString('base64url');
    const tail = token.slice(0, -1) + (token.endsWith('A') ? 'B' : 'A');
    for (const authorization of [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      token,
      `Basic ${token}`,
      `DPoP ${token}`,
      `Bearer  ${token}`,
      `Bearer ${token} `,
      `Bearer ${token}=`,
      `Bearer ${token.slice(1)}`,
      `Bearer ${prod.toString('hex')}`,
      `Bearer ${prod.toString('base64')}`,
      `Bearer ${randomBytes(32).toString('base64url')}`,
      `Bearer ${tail}`,
      `Bearer ${token}, Bearer ${token}`,
    ]) {
      assert.equal(callerOf(authorization), undefined, authorization);
    }
  });

  test('a token that two clusters share is refused at load', async () => {
    const path = 'clusters[1].webhook.token_file';
    const faults = await files.faults(clusters('prod-hook', 'same'), { ...FILES, same: prod.toString('hex') });
    assert.deepEqual(faults, [`${path}: holds the token of another cluster`]);
  });
});
