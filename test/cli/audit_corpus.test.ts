// Kubeconfigs in the shape of what other tools write: each says in its first lines whose it is and what is to be found in it. No
// secret of any of them is in what is printed.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Ajv } from 'ajv';
import fc from 'fast-check';
import { stringify } from 'yaml';
import type { Finding } from '../../cli/audit/finding.ts';
import { inspectText } from '../../cli/audit/inspect.ts';
import { FINDINGS, type FindingName } from '../../cli/audit/names.ts';
import { readPlain } from '../../cli/audit/plain.ts';
import { printJson, printSarif, printTable } from '../../cli/audit/say.ts';
import type { World } from '../../cli/audit/world.ts';
import { nodeFiles } from '../../cli/host/node_files.ts';
import { seconds } from '../../shared/time.ts';

const FOLDER = path.join(import.meta.dirname, 'kubeconfigs');
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'));
/** 2027-01-01. */
const NOW = seconds(1_798_761_600);

const WORLD: World = {
  now: NOW,
  read: (file) => nodeFiles.read(file, 1_000_000, true),
  allowed: { policy: 'AllowAll', has: () => false },
  exchangeable: () => undefined,
  ci: false,
};

/** What the second line promises; `*`: a machine uses it. */
function promised(text: string): readonly string[] {
  const [, list = ''] = /^# finds: (.*?)\r?$/m.exec(text) ?? [];
  assert.notEqual(list, '', 'it says what is to be found');
  return list === 'nothing' ? [] : list.split(' ').toSorted();
}

function judge(name: string): {
  readonly text: string;
  readonly findings: readonly Finding[];
  readonly secrets: string[];
} {
  const file = path.join(FOLDER, name);
  const text = readFileSync(file, 'utf8');
  const { found, seen } = inspectText(file, text, WORLD);
  return { text, findings: found.map((one) => ({ file, ...one })), secrets: seen.map(({ secret }) => secret) };
}

interface SarifLog {
  readonly runs: readonly {
    readonly results: readonly { readonly ruleId: string; readonly ruleIndex: number }[];
    readonly tool: { readonly driver: { readonly rules: readonly { readonly id: string }[] } };
  }[];
}

/** A word that stands in the line of a finding. */
const LINE: Readonly<Partial<Record<FindingName, RegExp>>> = {
  static_token: /token: |"token":|\*user/,
  token_file: /tokenFile: /,
  service_account_token: /token: |tokenFile: /,
  service_account_token_without_end: /token: |tokenFile: /,
  client_certificate: /client-certificate/,
  client_certificate_expired: /client-certificate/,
  cluster_admin_certificate: /client-certificate/,
  password: /password: /,
  auth_provider: /auth-provider:/,
  exec_not_allowlisted: /command: /,
  exec_relative_path: /command: /,
  exec_by_name: /command: /,
  exec_secret: /- --\S+=|CANARY|- name: \w+(?:KEY|TOKEN|PASSWORD)/,
  // Behind a merge it is the entry.
  insecure_skip_tls_verify: /insecure-skip-tls-verify|cluster:/,
  plain_http: /http:/,
  url_credentials: /CANARY.*@/,
  impersonation: /as: /,
  secret_elsewhere: /extensions|notes|x-tool/,
  secret_in_comment: /#/,
};

describe('the corpus', () => {
  it('has at least 40 files, and each finding that a text can have is in one, and missing in others', () => {
    assert.ok(FILES.length >= 40, `${FILES.length}`);
    const found = new Set(FILES.flatMap((name) => judge(name).findings.map((one) => one.name)));
    const ofFiles: readonly FindingName[] = [
      ...(['world_readable', 'group_readable', 'writable_by_others', 'copied_secret', 'shadowed_entry'] as const),
      ...(['backup_beside', 'exec_writable'] as const),
    ];
    const expected = (Object.keys(FINDINGS) as FindingName[]).filter((name) => !ofFiles.includes(name));
    assert.deepEqual([...found].toSorted(), expected.toSorted());
  });

  for (const name of FILES) {
    it(`${name}: what its second line promises, at the right lines`, () => {
      const { text, findings } = judge(name);
      const real = findings.map((one) => `${one.name}${one.machine ? '*' : ''}`).toSorted();
      assert.deepEqual(real, promised(text));
      const lines = text.split('\n');
      for (const { name: finding, line } of findings) {
        const pattern = LINE[finding];
        if (pattern) assert.match(lines[line - 1] ?? '', pattern, `${finding} at ${line}`);
      }
    });
  }

  it('keeps every secret to itself, in each form', () => {
    const all = FILES.map(judge);
    const findings = all.flatMap((one) => one.findings);
    assert.ok(findings.length > 100);
    const secrets = all.flatMap((one) => one.secrets);
    assert.ok(secrets.length > 60, `${secrets.length}`);
    // The canaries are in each secret field of the corpus, as they are or encoded.
    const canaries = all.flatMap(({ text }) => text.match(/CANARY\d+/g) ?? []);
    assert.ok(canaries.length > 50, `${canaries.length}`);
    for (const text of [printTable(FILES, findings), printJson(FILES, findings), printSarif(findings)]) {
      assert.doesNotMatch(text, /canary/i);
      for (const secret of secrets) assert.ok(!text.includes(secret.trim().slice(0, 16)), secret);
    }
  });

  it('is read by the quick reader where it is plain, with the same findings at the same lines', () => {
    const plain = FILES.filter((name) => readPlain(readFileSync(path.join(FOLDER, name), 'utf8')));
    assert.ok(plain.length > 50 && plain.length < FILES.length, `${plain.length} of ${FILES.length}`);
    for (const name of plain) {
      const file = path.join(FOLDER, name);
      const text = readFileSync(file, 'utf8');
      const [quick, whole] = [true, false].map((quickly) => inspectText(file, text, WORLD, quickly));
      assert.deepEqual(quick?.found, whole?.found, name);
      assert.deepEqual(quick?.seen, whole?.seen, name);
    }
  });

  it('prints no secret whatever is done to the text around it', () => {
    const secret = fc.stringMatching(/^[A-Za-z0-9+/~._-]{4,24}$/).map((rest) => `CANARY${rest}`);
    const fields = fc.oneof(
      fc.record({ token: secret }),
      fc.record({ username: fc.constant('me'), password: secret }),
      fc.record({ 'client-certificate-data': secret, 'client-key-data': secret }),
      fc.record({
        'auth-provider': fc.record({ name: fc.constant('oidc'), config: fc.record({ 'refresh-token': secret }) }),
      }),
      fc.record({
        exec: fc.record({
          command: fc.oneof(
            fc.constant('/bin/x'),
            secret.map((text) => `x --token=${text}`),
          ),
          args: fc.tuple(fc.constantFrom('--token', '--client-secret'), secret),
          env: fc.array(fc.record({ name: fc.constantFrom('X_TOKEN', 'AWS_SECRET_ACCESS_KEY'), value: secret })),
        }),
      }),
      fc.record({ notes: fc.record({ password: secret }) }),
    );
    const config = fc.record({
      users: fc.array(fc.record({ name: fc.constantFrom('a', 'b'), user: fields })),
      clusters: fc.array(
        fc.record({
          name: fc.constant('c'),
          cluster: fc.record({ server: secret.map((text) => `https://u:${text}@h`) }),
        }),
      ),
    });
    // Nothing is taken away, so that a secret does not become part of a name.
    const put = fc.array(
      fc.tuple(fc.nat(), fc.constantFrom(':', '"', "'", '&', '*', '#', '\n', ' ', '{', '[', '|', '>', '%')),
      { maxLength: 3 },
    );
    fc.assert(
      fc.property(config, put, fc.boolean(), (value, edits, json) => {
        let text = json ? JSON.stringify(value) : stringify(value);
        for (const [at, what] of edits)
          text = text.slice(0, at % (text.length + 1)) + what + text.slice(at % (text.length + 1));
        const { found } = inspectText('/k', text, WORLD);
        assert.deepEqual(found, inspectText('/k', text, WORLD, false).found);
        const findings = found.map((one) => ({ file: '/k', ...one }));
        const said = printTable(['/k'], findings) + printJson(['/k'], findings) + printSarif(findings);
        assert.doesNotMatch(said, /CANARY/);
      }),
      { numRuns: 2000 },
    );
  });

  it('comes to an end on whatever is long, deep, or refers to itself', () => {
    const many = 200_000;
    const bomb = [...'bcdefghij'].map(
      (key, i) => `${key}: &${key} [${Array(9).fill(`*${'abcdefghi'[i]}`).join(',')}]\n`,
    );
    for (const text of [
      `# ${'a-'.repeat(many)}\nusers: []\n`,
      `# ${'a '.repeat(many)}\n# ${' '.repeat(many)}:\n`,
      `users: [{name: a, user: {exec: {command: /x, args: ["--${'a-'.repeat(many)}", "${'eyJ'.repeat(many)}"]}}}]`,
      `users: [{name: "${'token-'.repeat(many)}", user: {x: "${'LS0tLS1CRUdJTi'.repeat(many)}"}}]`,
      '['.repeat(many),
      `users: ${'['.repeat(5000)}${']'.repeat(5000)}`,
      `x: ${'{a: '.repeat(5000)}1${'}'.repeat(5000)}`,
      `a: &a [x,x,x,x,x,x,x,x,x]\n${bomb.join('')}`,
      `${'- '.repeat(many)}x`,
      'users:\n- name: a\n  user: &u\n    notes: *u\n',
    ]) {
      const { found } = inspectText('/k', text, WORLD);
      assert.ok(found.length <= 2, text.slice(0, 40));
    }
  });

  it('finds what is glued together, and hides names that look like secrets', () => {
    const token = `eyJhbGciOiJub25lIn0.eyJzdWIiOiJDQU5BUlkifQ.CANARY`;
    for (const text of [
      'users: [{name: a, user: {token:CANARY123: }}]',
      'users: [{name: a, user: "token:CANARY123"}]',
      `users: [{name: a, user: {}, "${token}": x}]`,
    ]) {
      const { found } = inspectText('/k', text, WORLD);
      assert.deepEqual(
        found.map(({ name }) => name),
        ['secret_elsewhere'],
        text,
      );
      assert.doesNotMatch(JSON.stringify(found), /CANARY/, text);
    }
    const { found } = inspectText('/k', `users: [{name: ${token}, user: {token: x1234567}}]`, WORLD);
    assert.doesNotMatch(
      printTable(
        [],
        found.map((one) => ({ file: '/k', ...one })),
      ),
      /CANARY/,
    );
  });

  it('is SARIF 2.1.0 by its schema', () => {
    const schema = JSON.parse(gunzipSync(readFileSync(`${import.meta.dirname}/sarif-schema-2.1.0.json.gz`)).toString());
    // Draft 4 says `id` where later drafts say `$id`.
    const { id: _, $schema: __, ...rest } = schema;
    const validate = new Ajv({ strict: false, validateFormats: false }).compile(rest);
    const log: SarifLog = JSON.parse(printSarif(FILES.flatMap((name) => judge(name).findings)));
    assert.ok(validate(log), JSON.stringify(validate.errors?.slice(0, 3)));
    assert.ok(validate(JSON.parse(printSarif([]))));
    assert.ok(!validate({ ...log, version: '2.0.0' }), 'the schema refuses');
    const [run] = log.runs;
    assert.ok(run && run.results.length > 100);
    for (const { ruleId, ruleIndex } of run.results) assert.equal(run.tool.driver.rules[ruleIndex]?.id, ruleId);
  });
});
