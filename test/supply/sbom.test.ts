// The bills of materials are what the official schema asks for, say what the bundles hold, and are the same whenever they are made.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { Ajv, type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';
import { buildBundles } from '../../scripts/bundle.ts';
import { epochOf, heldBy, lockOf, sbomOf, WORKSPACES } from '../../scripts/supply/programs.ts';
import { sbom } from '../../scripts/supply/sbom.ts';

interface Bill {
  readonly specVersion: string;
  readonly serialNumber?: string;
  readonly metadata: { readonly timestamp?: string; readonly component: Part };
  readonly components: readonly Part[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[];
}
interface Part {
  readonly 'bom-ref': string;
  readonly name: string;
  readonly group?: string;
  readonly version?: string;
  readonly purl?: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
}

/** What the native program holds. */
const NATIVE = ['mingw-w64', 'musl', 'quickjs-ng', 'zig-compiler-rt'];

let valid: ValidateFunction;
before(async () => {
  await buildBundles();
  valid = official();
});

/** The schema as its own project publishes it, with its library. */
function official(): ValidateFunction {
  const library = createRequire(import.meta.url).resolve('@cyclonedx/cyclonedx-library/package.json');
  const schema = (name: string) =>
    JSON.parse(readFileSync(path.join(path.dirname(library), `res/schema/${name}.SNAPSHOT.schema.json`), 'utf8'));
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: true });
  addFormats.default(ajv);
  // Of addresses of people and links to them; our bills have neither.
  for (const format of ['iri-reference', 'idn-email']) ajv.addFormat(format, true);
  for (const name of ['spdx', 'jsf-0.82', 'cryptography-defs'])
    ajv.addSchema(schema(name), `http://cyclonedx.org/schema/${name}.SNAPSHOT.schema.json`);
  return ajv.compile(schema('bom-1.6'));
}

const parse = (text: string): Bill => JSON.parse(text) as Bill;
const fullName = ({ group, name }: Part) => (group === undefined ? name : `${group}/${name}`);

for (const workspace of WORKSPACES) {
  describe(`the bill of materials of ${workspace}`, () => {
    test('is CycloneDX 1.6 as the official schema has it', () => {
      const bill: unknown = parse(sbomOf(workspace, 1_790_000_000));
      assert.ok(valid(bill), JSON.stringify(valid.errors));
    });

    test('names each package that the bundles hold, with version and digest, and nothing else', () => {
      const bill = parse(sbomOf(workspace));
      const packages = bill.components.filter(({ purl }) => purl !== undefined);
      const named = packages.map((part) => [part['bom-ref'], fullName(part), part.version, part.hashes?.[0]?.content]);
      const held = heldBy(workspace).map(({ place, name, version, integrity = '' }) => {
        return [place, name, version, Buffer.from(integrity.replace('sha512-', ''), 'base64').toString('hex')];
      });
      assert.deepEqual(named.sort(), held.sort());
      const native = bill.components.filter(({ purl }) => purl === undefined).map(({ name }) => name);
      assert.deepEqual(native.sort(), workspace === 'cli' ? NATIVE : []);
    });

    test('says what loads each of them, from the program on', () => {
      const bill = parse(sbomOf(workspace));
      const loads = new Map(bill.dependencies.map(({ ref, dependsOn = [] }) => [ref, dependsOn]));
      const reached = new Set<string>();
      const open = [bill.metadata.component['bom-ref']];
      for (let next = open.pop(); next !== undefined; next = open.pop()) {
        if (reached.has(next)) continue;
        reached.add(next);
        open.push(...(loads.get(next) ?? []));
      }
      const lost = bill.components.map((part) => part['bom-ref']).filter((ref) => !reached.has(ref));
      assert.deepEqual(lost, []);
    });

    test('is the same to the byte when it is made again, and takes its time from SOURCE_DATE_EPOCH alone', () => {
      assert.equal(sbomOf(workspace, 1_790_000_000), sbomOf(workspace, 1_790_000_000));
      const bill = parse(sbomOf(workspace, 1_790_000_000));
      assert.equal(bill.metadata.timestamp, '2026-09-21T14:13:20.000Z');
      assert.equal(bill.serialNumber, undefined);
      assert.equal(parse(sbomOf(workspace)).metadata.timestamp, undefined);
    });
  });
}

test('the schema refuses what is not a bill of materials', () => {
  const bill = parse(sbomOf('gateway'));
  const [first, ...rest] = bill.components;
  assert.ok(valid(bill) && first);
  for (const broken of [
    { ...bill, specVersion: 1.6 },
    { ...bill, components: [{ ...first, type: 'thing' }, ...rest] },
    { ...bill, components: [{ ...first, hashes: [{ alg: 'SHA-512', content: 'not hex' }] }, ...rest] },
    { ...bill, components: [{ ...first, licenses: [{ license: { id: 'No such licence' } }] }, ...rest] },
    { ...bill, more: true },
  ]) {
    assert.ok(!valid(broken), JSON.stringify(broken).slice(0, 200));
  }
});

test('a package without a SHA-512 is in no bill, and an epoch that is not seconds makes none', () => {
  const program = { name: 'x', version: '1.0.0', licence: 'MIT', workspace: 'x', dependencies: [] };
  const [one] = heldBy('gateway');
  assert.ok(one);
  assert.throws(() => sbom(program, [{ ...one, integrity: 'sha1-AAAA' }], lockOf()), /not a single SHA-512/);
  for (const text of ['now', '-1', '1.5', ' 1']) assert.throws(() => epochOf(text), /SOURCE_DATE_EPOCH/);
  assert.deepEqual([epochOf(undefined), epochOf(''), epochOf('0')], [undefined, undefined, 0]);
});
