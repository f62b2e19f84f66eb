// The shape of the configuration file, section by section, so that a fault in one hides no fault in another.

import { z } from 'zod';
import { sayIssue, sayValue } from '../../serving/config/faults.ts';
import { tlsShapeWithClients } from '../../serving/config/tls_files.ts';
import { CREDENTIALS } from '../../shared/metadata.ts';
import { seconds } from '../../shared/time.ts';
import { ACTIONS, SIGNALS, type Signal, withDefaults } from '../audit_log/signals.ts';
import { sayUnknown } from './faults.ts';
import { accountGlobs, target, target_gateway, targetGlobs } from './target_schema.ts';
import * as value from './values.ts';

const wholeLimits = z.strictObject({
  max_age: value.duration,
  inactivity_timeout: value.duration,
  token_ttl: value.duration,
  revalidate: value.duration.optional(),
  acr: value.acrs.optional(),
});

/** Limits that leave some open. */
export const limits = wholeLimits.partial().refine(saysSomething, { error: 'expected at least one limit' });

const ceiling = z
  .strictObject({ max_age: value.duration.optional(), token_ttl: value.duration.optional() })
  .refine(saysSomething, { error: 'expected max_age, token_ttl or both' });

function saysSomething(object: object): boolean {
  return Object.values(object).some((inner) => inner !== undefined);
}

const preset = value.oneOf('aal1', 'aal2', 'aal3').optional();

const match = z
  .strictObject({
    clusters: value.globs.optional(),
    namespaces: value.namespaces.optional(),
    resources: value.resources.optional(),
    targets: targetGlobs.optional(),
    accounts: accountGlobs.optional(),
  })
  .refine(saysSomething, { error: 'expected clusters, namespaces, resources, targets or accounts' });

const webhook = z.strictObject({
  token_file: value.filePath,
  on_failure: value.oneOf('deny', 'no_opinion'),
  authentication: value.yesOrNo.optional().transform((wanted) => wanted ?? false),
  client_certificate: value.yesOrNo.optional().transform((wanted) => wanted ?? false),
});

const gateway = z.strictObject({
  url: value.server,
  ca_file: value.filePath.optional(),
  token_file: value.filePath,
  required: value.yesOrNo.optional().transform((wanted) => wanted ?? false),
  record: value.recordedKinds.optional().transform((kinds) => kinds ?? value.RECORDED_KINDS),
});

const identity_provider = z.strictObject({
  issuer: value.upstreamIssuer,
  client_id: value.token,
  client_secret: value.text.optional(),
  scopes: value.scopes,
  ca_file: value.filePath.optional(),
  username_claim: value.text,
  groups_claim: value.text,
  username_prefix: value.prefix,
  groups_prefix: value.prefix,
  allowed_groups: value.groups,
  clock_skew: value.skew.optional().transform((length) => length ?? seconds(5)),
  device_grant: value.yesOrNo.optional().transform((allowed) => allowed ?? false),
  redirect_host: value
    .oneOf('127.0.0.1', '[::1]', 'localhost')
    .optional()
    .transform((host) => host ?? '127.0.0.1'),
  redirect_ports: value.ports.optional().transform((ports) => ports ?? []),
  id_token_signing_algs: value.algorithms.optional().transform((algs) => algs ?? value.DEFAULT_SIGNING_ALGS),
});

/** Who of the IdP's group acts as which ServiceAccount. */
const service_account = z.strictObject({
  group: value.text,
  namespace: value.namespace,
  name: value.serviceAccountName,
});

const cluster = z.strictObject({
  name: value.name,
  server: value.server,
  ca_file: value.filePath.optional(),
  audience: value.token,
  allowed_groups: value.groups,
  labels: value.labels.optional().transform((labels) => labels ?? {}),
  ceiling: ceiling.optional(),
  webhook: webhook.optional(),
  gateway: gateway.optional(),
  credential: value
    .oneOf(...CREDENTIALS)
    .optional()
    .transform((credential) => credential ?? 'token'),
  service_accounts: z.array(service_account).min(1, { error: 'expected at least one' }).optional(),
  broker_token_file: value.filePath.optional(),
  api_servers: value.servers.optional(),
});

const store = z
  .strictObject({
    sqlite: z.strictObject({ file: value.filePath }).optional(),
    postgres: z
      .strictObject({
        url_env: value.variable.optional(),
        url_file: value.filePath.optional(),
        ca_file: value.filePath.optional(),
        connections: value.connections.optional().transform((count) => count ?? 8),
      })
      .refine(({ url_env, url_file }) => (url_env === undefined) !== (url_file === undefined), {
        error: 'expected url_env or url_file, and not both',
      })
      .optional(),
    witness_file: z
      .union([value.filePath, z.literal(false)], { error: 'expected the path of a file, or false' })
      .optional(),
  })
  .refine(({ sqlite, postgres }) => (sqlite === undefined) !== (postgres === undefined), {
    error: 'expected sqlite or postgres, and not both',
  });

const segment = z.strictObject({
  name: value.name,
  preset,
  match,
  limits,
  inactivity: z.strictObject({ output_counts: value.streamKinds }).optional(),
  impersonate_service_accounts: value.yesOrNo.optional(),
});

const rule = z.strictObject({ name: value.name, when: value.condition, match: match.optional(), limits });

const admins = z.strictObject({
  groups: value.groups,
  limits: z.strictObject({
    max_age: value.duration,
    inactivity_timeout: value.duration.optional(),
    acr: value.acrs.optional(),
  }),
});

const hook = z.strictObject({ url: value.hookUrl, secret_file: value.filePath, ca_file: value.filePath.optional() });

const poll = z
  .strictObject({
    url: value.hookUrl,
    token_file: value.filePath.optional(),
    client_id: value.token.optional(),
    client_secret_file: value.filePath.optional(),
    token_endpoint: value.hookUrl.optional(),
    scopes: value.scopes.optional(),
  })
  .refine(({ token_file, client_id }) => (token_file === undefined) !== (client_id === undefined), {
    error: 'expected either token_file or client_id',
  })
  .refine(({ client_id, client_secret_file }) => (client_id === undefined) === (client_secret_file === undefined), {
    error: 'expected client_id and client_secret_file together',
  })
  .refine(
    ({ client_id, token_endpoint, scopes }) => client_id !== undefined || (token_endpoint ?? scopes) === undefined,
    { error: 'token_endpoint and scopes only with client_id' },
  );

const transmitter = z
  .strictObject({
    issuer: value.upstreamIssuer,
    audience: value.token,
    issuers: value.issuers,
    jwks_uri: value.hookUrl.optional(),
    ca_file: value.filePath.optional(),
    push: z.strictObject({ token_file: value.filePath }).optional(),
    poll: poll.optional(),
  })
  .refine(({ push, poll }) => (push === undefined) !== (poll === undefined), {
    error: 'expected either push or poll',
  });

const action = value.oneOf(...ACTIONS);
const signals = z.strictObject(
  Object.fromEntries(SIGNALS.map((signal) => [signal, action.optional()])) as {
    [S in Signal]: z.ZodOptional<typeof action>;
  },
);

const failed_logins = z.strictObject({
  count: value.count,
  window: value.duration,
});

const SECTIONS = {
  issuer: value.issuer,
  issuer_ca_file: value.filePath.optional(),
  listen: z.strictObject({
    address: value.address,
    port: value.listenPort,
    tls: tlsShapeWithClients.optional(),
  }),
  trusted_proxies: value.networks.optional(),
  keys: z.strictObject({
    encryption_key_file: value.filePath.optional(),
    encryption_key_env: value.variable.optional(),
    other_encryption_key_file: value.filePath.optional(),
    other_encryption_key_env: value.variable.optional(),
    rotate_every: value.durationOrOff('90d').optional(),
  }),
  identity_provider,
  clusters: z.array(cluster).min(1, { error: 'expected at least one cluster' }),
  target_gateway: target_gateway.optional(),
  targets: z.array(target).optional(),
  admins: admins.optional(),
  metrics: z
    .strictObject({ address: value.address, port: value.listenPort, tls: tlsShapeWithClients.optional() })
    .optional(),
  hooks: z.array(hook).optional(),
  ssf: z.array(transmitter).optional(),
  store,
  policy: z.strictObject({
    preset,
    limits: wholeLimits,
    segments: z
      .array(segment)
      .optional()
      .transform((segments) => segments ?? []),
    rules: z
      .array(rule)
      .optional()
      .transform((rules) => rules ?? []),
    max_sessions: z.strictObject({ count: value.count, when_exceeded: value.oneOf('refuse', 'end_oldest') }).optional(),
    signals: signals.optional().transform(withDefaults),
    failed_logins: failed_logins.optional().transform((given) => given ?? { count: 5, window: seconds(900) }),
  }),
};

export type Sections = { readonly [K in keyof typeof SECTIONS]: z.infer<(typeof SECTIONS)[K]> };

export const SECTION_NAMES = Object.keys(SECTIONS) as readonly (keyof Sections)[];

export interface ParsedSections {
  /** Those without a fault. */
  readonly sections: Partial<Sections>;
  readonly faults: readonly string[];
}

export function parseSections(root: unknown): ParsedSections {
  if (typeof root !== 'object' || root === null || Array.isArray(root)) {
    return { sections: {}, faults: [`expected a mapping of settings, got ${sayValue(root)}`] };
  }
  const given = new Map<string, unknown>(Object.entries(root));
  const faults = [...given.keys()].filter((key) => !Object.hasOwn(SECTIONS, key)).map((key) => sayUnknown([key]));
  const section = <K extends keyof Sections>(key: K): Partial<Pick<Sections, K>> => {
    const schema: z.ZodType<Sections[K]> = SECTIONS[key] as unknown as z.ZodType<Sections[K]>;
    const parsed = schema.safeParse(given.get(key), { reportInput: true });
    if (!parsed.success) faults.push(...parsed.error.issues.flatMap((issue) => sayIssue(issue, [key], sayUnknown)));
    return parsed.success ? ({ [key]: parsed.data } as Pick<Sections, K>) : {};
  };
  const sections: Partial<Sections> = Object.assign({}, ...SECTION_NAMES.map((name) => section(name)));
  return { sections, faults };
}
