// What is rendered for programs, held against their own checkers: each takes it, and refuses it with a fault in it.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseTarget, type RenderInput } from '../../broker/layers_render/input.ts';
import { RENDERERS } from '../../broker/layers_render/render.ts';
import { type RunResult, run } from '../../scripts/run.ts';
import { LONGEST } from '../../shared/duration.ts';
import { seconds } from '../../shared/time.ts';
import { configured, OAUTH2_PROXY_NEEDS } from '../support/layers/configured.ts';
import { ensureLayerParts, ensureOAuth2Proxy, type LayerParts } from '../support/layers/parts.ts';
import { inputOf } from './layers_golden.ts';

const TOKEN_TTL = seconds(60);
const target = parseTarget('127.0.0.1:9');
/** What a policy may say: the shortest lengths, usual ones, the longest. */
const INPUTS: readonly RenderInput[] = [
  [1, 1],
  [8 * 3600, 900],
  [LONGEST, LONGEST],
].map(([max_age = 1, inactivity_timeout = 1], i) =>
  inputOf({
    target: i === 2 ? parseTarget('[::1]:9') : target,
    limits: { max_age: seconds(max_age), inactivity_timeout: seconds(inactivity_timeout), token_ttl: TOKEN_TTL },
  }),
);
const timeout = 300_000;

let parts: LayerParts;
let folder: string;
before(async () => {
  parts = await ensureLayerParts();
  folder = mkdtempSync(path.join(tmpdir(), 'curfew-layers-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** Both must be so: what is rendered is taken, and one word otherwise is not. */
async function assertJudged(
  judge: (args: readonly string[]) => Promise<RunResult>,
  render: (input: RenderInput) => { readonly args: readonly string[]; readonly file: string },
  [good, bad]: readonly [string, string],
): Promise<void> {
  for (const input of INPUTS) {
    const { args, file } = render(input);
    const taken = await judge(args);
    assert.equal(taken.code, 0, `${taken.stderr}\n${taken.stdout}`);
    const text = readFileSync(file, 'utf8');
    assert.ok(text.includes(good), `${good} is not in ${text}`);
    const at = text.lastIndexOf(good);
    writeFileSync(file, `${text.slice(0, at)}${bad}${text.slice(at + good.length)}`);
    const refused = await judge(args);
    assert.ok(refused.code !== 0 && !refused.timedOut, `${bad} is taken`);
  }
}

describe('the checker of', () => {
  test('nginx takes it', async () => {
    await assertJudged(
      (args) => run(parts.nginx, ['-t', ...args], { env: parts.env, timeout }),
      (input) => ({
        args: configured('nginx', input, path.join(folder, 'nginx')),
        file: path.join(folder, 'nginx/nginx.conf'),
      }),
      ['proxy_read_timeout', 'proxy_reed_timeout'],
    );
  });

  test('HAProxy takes it', async () => {
    await assertJudged(
      (args) => run(parts.haproxy, ['-c', ...args], { env: parts.env, timeout }),
      (input) => ({
        args: configured('haproxy', input, path.join(folder, 'haproxy')),
        file: path.join(folder, 'haproxy/haproxy.conf'),
      }),
      ['timeout tunnel', 'timeout tunel'],
    );
  });

  test('Envoy takes it', async () => {
    await assertJudged(
      (args) => run(parts.envoy, ['--mode', 'validate', ...args], { timeout }),
      (input) => ({
        args: configured('envoy', input, path.join(folder, 'envoy')),
        file: path.join(folder, 'envoy/envoy.yaml'),
      }),
      ['max_stream_duration:', 'max_stream_duratio:'],
    );
  });

  test('nft takes it', async () => {
    const file = path.join(folder, 'nftables.conf');
    await assertJudged(
      (args) => run('unshare', ['-Urn', parts.nft, '-c', ...args], { env: parts.env, timeout }),
      (input) => {
        writeFileSync(file, RENDERERS.nftables(input));
        return { args: ['-f', file], file };
      },
      ['flags dynamic,timeout', 'flags dynamic,timeot'],
    );
  });

  test('OAuth2 Proxy takes it', async () => {
    const program = await ensureOAuth2Proxy();
    const file = path.join(folder, 'oauth2-proxy.cfg');
    await assertJudged(
      (args) => run(program, ['--config-test', ...OAUTH2_PROXY_NEEDS, ...args], { timeout }),
      (input) => {
        writeFileSync(file, RENDERERS['oauth2-proxy'](input));
        return { args: ['--config', file], file };
      },
      ['cookie_refresh = "0s"', 'cookie_refresh = "1d"'],
    );
  });
});
