// What is installed is decided by the project's files alone: exact versions, each with its digest, from whatever registry npm is set to.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LockedPackage, readLock, resolve } from '../../scripts/supply/lock_file.ts';
import { lockOf } from '../../scripts/supply/programs.ts';
import { read } from '../docs/documents.ts';

/** Packages that have scripts for their installation, each with why it is used and whether its script is needed. */
const WITH_SCRIPTS: Readonly<Record<string, string>> = {
  node: 'allowed: puts the program for this machine in its place',
  esbuild: 'not run: its program comes as a package of its own for each machine',
  '@github/keytar': 'not run: its libraries come with it',
};

interface Manifest {
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly workspaces?: readonly string[];
  readonly allowScripts?: Readonly<Record<string, boolean>>;
}

const root = JSON.parse(read('package.json')) as Manifest;
const manifests = new Map(
  ['', ...(root.workspaces ?? [])].map((folder) => [
    folder,
    JSON.parse(read(folder === '' ? 'package.json' : `${folder}/package.json`)) as Manifest,
  ]),
);
const lock = lockOf();

/** Dependencies that are not exact, or not installed as they are asked for. */
function inexact(folder: string, manifest: Manifest, packages: ReadonlyMap<string, LockedPackage>): string[] {
  const { devDependencies, dependencies, optionalDependencies, peerDependencies } = manifest;
  const all = Object.entries({ ...devDependencies, ...dependencies, ...optionalDependencies, ...peerDependencies });
  return all.flatMap(([name, wanted]) => {
    const version = wanted.replace(/^npm:@?[^@]+@/, '');
    if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) return [`${name} is not exact: ${wanted}`];
    const found = resolve(packages, folder === '' ? '.' : folder, name);
    return found?.version === version ? [] : [`${name} ${version} is not what is installed: ${found?.version}`];
  });
}

/** What in a lock file depends on where it was written, or cannot be checked. */
function lockFaults(text: string): string[] {
  const unchecked = [...readLock(text).values()].filter(({ integrity }) => !/^sha512-[\w+/]+=*$/.test(integrity ?? ''));
  const hosts = [...text.matchAll(/"resolved": "([a-z+]+:[^"]*)"/g)].map(([, url]) => `resolved at ${url}`);
  return [...unchecked.map(({ place }) => `${place} has no SHA-512`), ...hosts];
}

test('each dependency of each workspace is an exact version, and that one is installed', () => {
  assert.ok([...manifests.values()].every((manifest) => manifest !== undefined) && manifests.size === 6);
  for (const [folder, manifest] of manifests) assert.deepEqual(inexact(folder, manifest, lock), [], folder);
  assert.ok(Object.keys(root.devDependencies ?? {}).length > 10);
});

test('each package in the lock file has its digest, and none is bound to a registry', () => {
  assert.ok(lock.size > 200);
  assert.deepEqual(lockFaults(read('package-lock.json')), []);
  const settings = read('.npmrc').split('\n');
  assert.ok(settings.includes('omit-lockfile-registry-resolved=true') && settings.includes('save-exact=true'));
  assert.deepEqual(
    settings.filter((line) => /registry=|:\/\/|_auth/.test(line)),
    [],
  );
});

test('no package may run a script at its installation but those that are allowed, each in its exact version', () => {
  const having = [...lock.values()].filter(({ hasInstallScript }) => hasInstallScript);
  assert.deepEqual(having.map(({ name }) => name).sort(), Object.keys(WITH_SCRIPTS).sort());
  const allowed = having.filter(({ name }) => WITH_SCRIPTS[name]?.startsWith('allowed: '));
  assert.deepEqual(
    root.allowScripts,
    Object.fromEntries(allowed.map(({ name, version }) => [`${name}@${version}`, true])),
  );
  const ours = /^(pre|post)?(install|prepare|prepublish|pack)$/;
  for (const [folder, { scripts = {} }] of manifests) {
    assert.deepEqual(
      Object.keys(scripts).filter((name) => ours.test(name)),
      [],
      folder,
    );
  }
});

test('a range, another version, a missing digest and a registry are seen', () => {
  const planted = (version: string) => inexact('', { devDependencies: { jose: version } }, lock);
  for (const range of ['^6.2.18', '~6.2.18', '6', '*', 'latest', '>=6.2.18', 'npm:jose@^6.2.18', 'github:panva/jose']) {
    assert.deepEqual(planted(range), [`jose is not exact: ${range}`]);
  }
  assert.match(planted('6.2.17').join(), /^jose 6\.2\.17 is not what is installed/);
  assert.match(inexact('', { dependencies: { 'not-there': '1.0.0' } }, lock).join(), /installed: undefined/);
  const entry = (fields: object) =>
    JSON.stringify({ packages: { 'node_modules/x': { version: '1.0.0', ...fields } } }, null, 1);
  assert.deepEqual(lockFaults(entry({})), ['node_modules/x has no SHA-512']);
  assert.deepEqual(lockFaults(entry({ integrity: 'sha1-AAAA' })), ['node_modules/x has no SHA-512']);
  const resolved = 'https://registry.example/x.tgz';
  assert.deepEqual(lockFaults(entry({ integrity: 'sha512-AAAA==', resolved })), [`resolved at ${resolved}`]);
});

test('a package is found where Node.js would load it from', () => {
  const entry = { version: '1.0.0' };
  const places = ['node_modules/a', 'node_modules/b', 'node_modules/a/node_modules/b', 'broker/node_modules/a'];
  const packages = readLock(JSON.stringify({ packages: Object.fromEntries(places.map((place) => [place, entry])) }));
  const found = (place: string, name: string) => resolve(packages, place, name)?.place;
  assert.equal(found('node_modules/a', 'b'), 'node_modules/a/node_modules/b');
  assert.equal(found('node_modules/a/node_modules/b', 'b'), 'node_modules/a/node_modules/b');
  assert.equal(found('node_modules/b', 'a'), 'node_modules/a');
  assert.equal(found('broker', 'a'), 'broker/node_modules/a');
  assert.equal(found('broker', 'b'), 'node_modules/b');
  assert.equal(found('broker', 'c'), undefined);
});
