// What we use of others may be used, and what we ship of them goes with the texts that they ask for.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { buildBundles } from '../../scripts/bundle.ts';
import { packagesAt, placesIn } from '../../scripts/supply/contents.ts';
import { licenceFault, licenceFaults, licenceTexts, SHIPPED, USED } from '../../scripts/supply/licences.ts';
import { type LockedPackage, readLock } from '../../scripts/supply/lock_file.ts';
import { nativeParts } from '../../scripts/supply/native_parts.ts';
import { heldBy, lockOf, WORKSPACES } from '../../scripts/supply/programs.ts';
import { thirdPartyLicenses } from '../../scripts/supply/third_party.ts';
import { ROOT } from '../docs/documents.ts';

before(() => buildBundles());

const lock = lockOf();
const locked = (fields: Partial<LockedPackage>): LockedPackage => ({
  ...{ place: 'node_modules/x', name: 'x', version: '1.0.0', integrity: undefined, licence: undefined },
  ...{ optional: false, hasInstallScript: false, dependencies: [], optionalPeers: [], ...fields },
});

describe('licences', () => {
  test('each package in the lock file has one that is allowed, and each that is allowed is needed', () => {
    assert.deepEqual(licenceFaults(lock.values(), USED), []);
    for (const allowed of USED) {
      const others = new Set([...USED].filter((name) => name !== allowed));
      assert.ok(licenceFaults(lock.values(), others).length > 0, `nobody needs ${allowed}`);
    }
  });

  test('each part of the native program has one that is allowed', () => {
    const allowed = new Set([...SHIPPED, 'ZPL-2.1']);
    const parts = nativeParts();
    assert.ok(parts.length >= 3);
    for (const { name, version, licence } of parts) {
      assert.equal(licenceFault(licence, allowed), undefined, name);
      assert.notEqual(version, '', name);
    }
  });

  test('what is installed says of itself what the lock file says of it', () => {
    const installed = [...lock.values()].filter(({ optional }) => !optional);
    assert.ok(installed.length > 150);
    for (const { place, version, licence } of installed) {
      const manifest = JSON.parse(readFileSync(path.join(ROOT, place, 'package.json'), 'utf8'));
      assert.deepEqual([manifest.version, manifest.license], [version, licence], place);
    }
  });

  test('one that asks for more, that nobody knows or that is not named is refused', () => {
    for (const expression of ['MIT', 'MIT OR GPL-3.0-only', '(BSD-3-Clause AND ISC)', 'Apache-2.0']) {
      assert.equal(licenceFault(expression, SHIPPED), undefined, expression);
    }
    for (const expression of [
      'GPL-3.0-only',
      'GPL-2.0-only WITH Classpath-exception-2.0',
      'AGPL-3.0-or-later',
      'LGPL-2.1-only',
      'SSPL-1.0',
      'BUSL-1.1',
      'MIT AND GPL-3.0-only',
      'Apache-2.0+',
      'Apache-2.0 WITH LLVM-exception',
      'CC0-1.0',
    ]) {
      assert.equal(licenceFault(expression, SHIPPED), `${expression} is not an allowed licence`);
    }
    for (const expression of ['MIT License', 'SEE LICENSE IN LICENSE.md', 'UNLICENSED', 'Commons Clause']) {
      assert.equal(licenceFault(expression, SHIPPED), `"${expression}" is not an SPDX expression`);
    }
    for (const expression of ['', undefined]) assert.equal(licenceFault(expression, SHIPPED), 'names no licence');
  });
});

describe('what is shipped', () => {
  for (const workspace of WORKSPACES) {
    test(`the bundles of ${workspace} go with a text for each package that they hold`, () => {
      const held = heldBy(workspace);
      assert.ok(held.length >= 5, String(held.length));
      const text = readFileSync(path.join(ROOT, workspace, 'dist/THIRD_PARTY_LICENSES'), 'utf8');
      const sections = text.split(/^-{80}\n(?=.* \(.*\)\n-{80}$)/m).slice(1);
      assert.equal(sections.length, held.length);
      for (const [i, { name, version, licence }] of held.entries()) {
        const section = sections[i] ?? '';
        assert.ok(section.startsWith(`${name} ${version} (${licence})\n`), `${name}: ${section.slice(0, 80)}`);
        assert.match(section, /copyright/i, name);
        assert.ok(section.length > 400, `${name}: ${section.length} characters`);
      }
    });
  }

  test('the list of what a bundle holds has what its code names, and nothing that was left out', () => {
    const names = (workspace: (typeof WORKSPACES)[number]) => heldBy(workspace).map(({ name }) => name);
    for (const name of ['fastify', 'pg', 'kysely', 'undici', 'jose']) assert.ok(names('broker').includes(name), name);
    for (const name of ['@github/keytar', 'node-addon-api', 'openid-client'])
      assert.ok(names('cli').includes(name), name);
    for (const name of ['fastify', 'pg', 'typescript', 'esbuild']) assert.ok(!names('gateway').includes(name), name);
    const metafile = (inputs: Record<string, { bytesInOutput: number }>) =>
      placesIn({ inputs: {}, outputs: { 'x.cjs': { inputs, bytes: 1, imports: [], exports: [] } } });
    const held = { bytesInOutput: 1 };
    assert.deepEqual(
      metafile({
        'broker/main.ts': held,
        'node_modules/ajv/dist/a.js': held,
        'node_modules/ajv/dist/b.js': held,
        'node_modules/ajv/node_modules/fast-uri/index.js': held,
        'node_modules/@fastify/error/index.js': held,
        'node_modules/jose/index.js': { bytesInOutput: 0 },
      }),
      ['node_modules/@fastify/error', 'node_modules/ajv', 'node_modules/ajv/node_modules/fast-uri'],
    );
    assert.throws(() => packagesAt(lock, ['node_modules/not-there']), /not in package-lock/);
  });

  test('no program is made that holds what must not be shipped, or whose licence has no text', () => {
    const root = mkdtempSync(path.join(tmpdir(), 'curfew-licences-'));
    try {
      const folder = path.join(root, 'node_modules/x');
      mkdirSync(path.join(folder, 'lib'), { recursive: true });
      const one = locked({ licence: 'MIT' });
      assert.throws(() => thirdPartyLicenses(root, 'ours', [one]), /x 1\.0\.0 ships no text/);
      // Code is not a text, whatever its name.
      writeFileSync(path.join(folder, 'license.js'), 'Copyright');
      assert.throws(() => thirdPartyLicenses(root, 'ours', [one]), /x 1\.0\.0 ships no text/);
      writeFileSync(path.join(folder, 'LICENSE'), 'Copyright of X');
      writeFileSync(path.join(folder, 'NOTICE.txt'), 'Notice of X');
      writeFileSync(path.join(folder, 'lib/LICENSE.md'), 'Copyright of Y, in X');
      assert.deepEqual(licenceTexts(root, one), ['Copyright of X', 'Notice of X', 'Copyright of Y, in X']);
      assert.match(thirdPartyLicenses(root, 'ours', [one]), /^ours holds code .*x 1\.0\.0 \(MIT\)/s);
      for (const licence of ['GPL-3.0-only', 'nobody knows it', undefined, 'CC0-1.0']) {
        assert.throws(
          () => thirdPartyLicenses(root, 'ours', [locked({ licence })]),
          /^Error: ours cannot be shipped:\nx 1\.0\.0: /,
        );
      }
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});

test('a package under another name has its own in every list', () => {
  const entry = { name: '@real/name', version: '2.0.0', license: 'MIT' };
  const [one] = readLock(JSON.stringify({ packages: { 'node_modules/alias': entry } })).values();
  assert.equal(one?.name, '@real/name');
});
