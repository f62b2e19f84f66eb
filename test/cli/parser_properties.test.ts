// What holds of every file of the plugin's own and of every environment that names a proxy: what was written is read again as it was, and
// what anybody else wrote there is taken whole or not at all.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { readAllowed } from '../../cli/audit/kuberc.ts';
import { parseSecret, printSecret } from '../../cli/secrets/secret.ts';
import { brokerKey } from '../../cli/warm/paths.ts';
import { parseRecord, printRecord, type SessionRecord } from '../../cli/warm/session_record.ts';
import { FLOWS, parseConfig, SECRET_STORAGES } from '../../cli/warm/settings.ts';
import { generateKey } from '../../cli/wire/dpop.ts';
import { proxyFor } from '../../cli/wire/proxy.ts';
import { CurfewError } from '../../shared/errors.ts';
import { seconds } from '../../shared/time.ts';

const again = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
const text = fc.string({ maxLength: 12 });
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const url = fc.webUrl({ validSchemes: ['https'] }).map((one) => one.replace(/\/+$/, ''));

describe('settings', () => {
  const broker = fc.record({
    ca_file: maybe(text),
    ca_sha256: maybe(fc.array(text, { maxLength: 2 })),
    identity_provider: maybe(url),
  });
  const context = fc.record({ broker: url, cluster: text, max_age: maybe(fc.nat()), server: maybe(url) });
  const config = fc.record({
    ...{
      default: maybe(url),
      flow: maybe(fc.constantFrom(...FLOWS)),
      secret_storage: maybe(fc.constantFrom(...SECRET_STORAGES)),
    },
    ...{
      brokers: maybe(fc.dictionary(url, broker, { maxKeys: 3 })),
      contexts: maybe(fc.dictionary(text, context, { maxKeys: 3 })),
    },
  });

  it('are read as they were written, and read again from what was read', () => {
    fc.assert(
      fc.property(config, (written) => {
        const read = parseConfig(JSON.stringify(written));
        assert.ok(typeof read === 'object', String(read));
        assert.deepEqual([read.flow, read.secret_storage], [written.flow, written.secret_storage]);
        assert.equal(read.default, written.default && brokerKey(written.default));
        assert.deepEqual(again(read.contexts), again(written.contexts ?? {}));
        assert.equal(Object.keys(read.brokers).length, new Set(Object.keys(written.brokers ?? {}).map(brokerKey)).size);
        assert.deepEqual(again(parseConfig(JSON.stringify(read))), again(read));
      }),
    );
  });

  it('with anything else in any place are not read, and the place is named on one line', () => {
    fc.assert(
      fc.property(
        config,
        fc.jsonValue(),
        fc.constantFrom('default', 'flow', 'secret_storage', 'brokers', 'contexts', 'other'),
        (written, anything, name) => {
          const read = parseConfig(JSON.stringify({ ...written, [name]: anything }));
          if (typeof read === 'object') return assert.ok(name !== 'other');
          assert.ok(read.startsWith(name), read);
          assert.doesNotMatch(read, /[\n\r\u2028\u202e]/);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('what is kept of a login', () => {
  const whole = fc.integer({ min: 0, max: 2_000_000_000 }).map(seconds);
  const limits = fc.record({ max_age: whole, inactivity_timeout: whole, token_ttl: whole });
  const resolved = fc.record({ session: limits, target: limits });
  const session = fc.record({
    ...{
      sid: fc.string({ minLength: 1 }),
      username: fc.string({ minLength: 1 }),
      groups: fc.array(fc.string({ minLength: 1 }), { maxLength: 3 }),
    },
    ...{ auth_time: whole, session_end: whole, end_at_most: whole, broker_time: whole, limits: resolved },
  });
  const record = fc.record({
    ...{
      broker: url,
      endpoints: fc.record({ token_endpoint: url, revocation_endpoint: url, sessions_endpoint: maybe(url) }),
    },
    ...{
      audiences: fc.dictionary(text, text, { maxKeys: 3 }),
      limits: maybe(fc.dictionary(text, resolved, { maxKeys: 2 })),
    },
    ...{ kept_in: fc.constantFrom(...SECRET_STORAGES), session: maybe(session), minted_local: whole },
    ...{ not_admitted: maybe(fc.array(fc.string({ minLength: 1 }), { maxLength: 2 })), unvouched: maybe(text) },
  });

  it('is read as it was written', () => {
    fc.assert(
      fc.property(record, (written) => {
        const text = printRecord(written as SessionRecord);
        assert.deepEqual(again(parseRecord(text)), again(written));
      }),
    );
  });

  it('is one of its own kind whole, or none: nothing of another version, nothing cut off, no member of another type', () => {
    fc.assert(
      fc.property(record, fc.nat(), fc.jsonValue(), (written, at, anything) => {
        const text = printRecord(written as SessionRecord);
        assert.equal(parseRecord(text.slice(0, at % text.length)), undefined);
        assert.equal(parseRecord(text.replace('"version":1', '"version":2')), undefined);
        for (const name of ['broker', 'endpoints', 'audiences', 'session', 'minted_local']) {
          const read = parseRecord(JSON.stringify({ ...JSON.parse(text), [name]: anything }));
          if (read) assert.deepEqual(again(parseRecord(printRecord(read))), again(read));
        }
        assert.equal(parseRecord(JSON.stringify({ ...JSON.parse(text), minted_local: -1 })), undefined);
      }),
      { numRuns: 300 },
    );
  });

  it('secrets are read as they were written, or there are none', () => {
    const key = generateKey();
    const refresh = fc.record({
      issuer: fc.string({ minLength: 1 }),
      refresh_token: fc.string({ minLength: 1 }),
      sid: maybe(fc.string({ minLength: 1 })),
    });
    fc.assert(
      fc.property(maybe(fc.string({ minLength: 1 })), maybe(refresh), fc.jsonValue(), (handle, kept, anything) => {
        const written = { dpop_private_jwk: key, handle, refresh: kept };
        assert.deepEqual(again(parseSecret(printSecret(written))), again(written));
        const read = parseSecret(JSON.stringify({ ...written, dpop_private_jwk: anything }));
        assert.equal(read, undefined);
      }),
    );
  });
});

describe('the proxy of a request', () => {
  const host = fc.domain();
  const port = fc.integer({ min: 1, max: 65_535 });

  it('is the one that the variable names, with or without a scheme, and nobody whom NO_PROXY exempts asks it', () => {
    fc.assert(
      fc.property(
        host,
        port,
        host,
        fc.array(host, { maxLength: 3 }),
        fc.nat(3),
        fc.constantFrom('', 'http://'),
        (proxy, at, target, others, how, scheme) => {
          const env = { HTTPS_PROXY: `${scheme}${proxy}:${at}` };
          const asked = new URL(`https://${target}/x`);
          const wanted = `${proxy.toLowerCase()}:${at}`;
          assert.equal(proxyFor(env, asked)?.host.toLowerCase(), wanted);
          const parent = target.slice(target.indexOf('.') + 1);
          const exempt = [target, target.toUpperCase(), `.${parent}`, `*.${parent}`][how] ?? '';
          assert.equal(proxyFor({ ...env, NO_PROXY: [...others, exempt].join(', ') }, asked), undefined);
          const strangers = others.filter((one) => !`.${target}`.toLowerCase().endsWith(`.${one.toLowerCase()}`));
          assert.equal(proxyFor({ ...env, NO_PROXY: strangers.join(',') }, asked)?.host.toLowerCase(), wanted);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('that cannot be understood is refused by the name of its variable, never passed by, and its value is not shown', () => {
    const secret = 'correct-horse-battery';
    const target = new URL('https://curfew.example.com/');
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, after) => {
        const value = `${before}${secret}${after}`;
        try {
          assert.ok(proxyFor({ HTTPS_PROXY: value }, target), 'nothing goes past a proxy in silence');
        } catch (error) {
          assert.ok(error instanceof CurfewError, String(error));
          assert.match(error.message, /^HTTPS_PROXY/);
          assert.ok(!`${error.message} ${error.hint}`.includes(secret));
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('kuberc', () => {
  const name = fc.constantFrom('curfew', 'aws', '/usr/bin/aws', '/opt/other', './here', 'constructor');
  const entry = fc.oneof(
    fc.record({ name }),
    fc.record({ command: name }),
    fc.record({ command: name, name }),
    fc.jsonValue({ maxDepth: 1 }),
  );
  const allowed = (content: string | undefined) => {
    const read = () => ({ stat: undefined, content }) as never;
    const there = { kind: 'file', uid: 0, mode: 0o755 } as const;
    const lstat = (path: string) => (path.startsWith('/usr/bin/') ? there : undefined);
    const env = { HOME: '/h', PATH: '/sbin:/usr/bin' };
    return readAllowed({ env, files: { read, lstat, checksum: () => '' }, uid: 0 } as Parameters<
      typeof readAllowed
    >[0]);
  };

  it('allows by name what is listed, by either of its names or by where that leads, and nothing else', () => {
    const policy = fc.constantFrom('AllowAll', 'DenyAll', 'Allowlist', 'Other', undefined);
    fc.assert(
      fc.property(policy, fc.array(entry, { maxLength: 4 }), name, (credentialPluginPolicy, list, asked) => {
        const kuberc = { kind: 'Preference', credentialPluginPolicy, credentialPluginAllowlist: list };
        const read = allowed(stringify(kuberc));
        const known = ['DenyAll', 'Allowlist'].find((one) => one === credentialPluginPolicy) ?? 'AllowAll';
        assert.equal(read.policy, known);
        const names = list.flatMap((one) => {
          if (typeof one !== 'object' || one === null || Array.isArray(one)) return [];
          const { command, name: other } = one as { readonly command?: unknown; readonly name?: unknown };
          return [command ?? other];
        });
        // As the one folder of PATH has them.
        const place = (one: unknown) =>
          typeof one !== 'string' || one.startsWith('/') ? one : one.includes('/') ? undefined : `/usr/bin/${one}`;
        const wanted = names.includes(asked) || (place(asked) !== undefined && names.map(place).includes(place(asked)));
        assert.equal(read.has(asked), wanted, `${JSON.stringify(list)} ${asked}`);
      }),
      { numRuns: 500 },
    );
  });

  it('of any other form, or that is not there, allows nothing by name, and is read without an error', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), fc.constant(undefined)), name, (content, asked) => {
        const read = allowed(content);
        assert.equal(read.has(asked), false);
      }),
    );
  });
});
