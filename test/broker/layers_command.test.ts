// `layers explain` and `layers render` as they are typed: what is printed, what is written, and what is refused without a file.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { Command, CommanderError } from 'commander';
import { stringify } from 'yaml';
import { addLayers } from '../../broker/commands/layers_command.ts';
import { renderLayer } from '../../broker/commands/layers_render.ts';
import { loadConfig } from '../../broker/config/load.ts';
import { CurfewError } from '../../shared/errors.ts';
import { makeConfigFiles, SETTINGS } from './config_files.ts';

let folder: string;
let file: string;
before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'curfew-layers-command-'));
  const { files } = await makeConfigFiles();
  for (const [name, one] of Object.entries(files)) {
    const { text, mode = 0o600 } = typeof one === 'string' ? { text: one } : one;
    writeFileSync(path.join(folder, name), text, { mode });
  }
  file = path.join(folder, 'config.yaml');
  writeFileSync(file, stringify(SETTINGS));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** @returns what was printed */
async function type(...words: readonly string[]): Promise<string> {
  let printed = '';
  const root = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
  addLayers(root, {
    env: {},
    version: '1.2.3',
    stdin: () => assert.fail('nothing is read'),
    exit: (status) => assert.fail(`exit ${status}`),
    print: (lines) => {
      printed += lines.map((line) => `${line}\n`).join('');
    },
    write: (text) => {
      printed += text;
    },
  });
  await root.parseAsync(['layers', ...words], { from: 'user' });
  return printed;
}

const render = (...more: readonly string[]) => type('render', '--config', file, '--segment', 'prod', ...more);

test('what is printed is what is rendered, and the same each time', async () => {
  const config = await loadConfig(file, { env: {} });
  const expected = renderLayer(config, { layer: 'nginx', segment: 'prod', target: 'payments/orders:8080' });
  const words = ['--layer', 'nginx', '--target', 'payments/orders:8080'];
  assert.equal(await render(...words), expected);
  assert.equal(await render(...words), expected);
  assert.match(expected, /proxy_read_timeout 600s;/);
});

test('-o writes all of it in place of what was there, and leaves nothing beside', async () => {
  const own = path.join(folder, 'out');
  mkdirSync(own);
  const output = path.join(own, 'haproxy.cfg');
  writeFileSync(output, 'something longer that was there before\n'.repeat(500));
  assert.equal(await render('--layer', 'haproxy', '-o', output), '');
  assert.equal(readFileSync(output, 'utf8'), await render('--layer', 'haproxy'));
  assert.deepEqual(readdirSync(own), ['haproxy.cfg']);
});

test('a place that cannot be written is said, and nothing is left', async () => {
  for (const output of [path.join(folder, 'nowhere', 'file'), folder]) {
    await assert.rejects(
      render('--layer', 'haproxy', '-o', output),
      (error) => error instanceof CurfewError && error.code === 'usage' && error.message.includes('cannot be written'),
    );
  }
  assert.deepEqual(
    readdirSync(path.dirname(folder)).filter((name) => name.startsWith(`${path.basename(folder)}.`)),
    [],
  );
});

test('a layer that is not rendered, and what is missing, is wrong use', async () => {
  for (const words of [['--layer', 'contour'], ['--layer', 'nginx', '--segmint', 'a'], []]) {
    await assert.rejects(render(...words), CommanderError, words.join(' '));
  }
});

test('explain prints a layer, or all', async () => {
  assert.match(await type('explain', 'haproxy'), /^haproxy: HAProxy \(seen on the real thing\)\n/);
  assert.match(await type('explain'), /^layer +idle +age /);
  await assert.rejects(type('explain', 'iptables'), CurfewError);
});
