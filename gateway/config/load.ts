// The gateway's configuration: one YAML file becomes one frozen value, or an error that lists every fault with its path.

import path from 'node:path';
import { z } from 'zod';
import { refused, sayIssue, sayValue } from '../../serving/config/faults.ts';
import { readCa, readSecret, readText, type Surroundings } from '../../serving/config/named_files.ts';
import { readTlsFiles, tlsShape, tlsShapeWithClients } from '../../serving/config/tls_files.ts';
import * as value from '../../serving/config/values.ts';
import { parseYaml } from '../../serving/config/yaml.ts';
import { type FileReader, readRegularFile } from '../../serving/files/regular_file.ts';
import { parseDuration } from '../../shared/duration.ts';
import { CurfewError } from '../../shared/errors.ts';
import { type Seconds, seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';
import { parseKeys, type ServiceAccountKeys } from './service_account_keys.ts';
import type { Settings } from './settings.ts';

/** Longer would leave streams open that nobody judges. */
const LONGEST_CUT_AFTER = seconds(30);

const warning = value.durationOrOff('60s');
const cutAfter = value.leaf<Seconds>('a duration of at most "30s"', (given) => {
  const length = parseDuration(given);
  return length !== undefined && length <= LONGEST_CUT_AFTER ? length : undefined;
});

const publicUrl = value.textThat('a wss URL without user, path, query and fragment', (text) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.protocol === 'wss:' && url.host !== '' && text.replace(/\/$/, '') === `wss://${url.host}`;
});

const COMMON = {
  broker: z.strictObject({
    url: value.upstreamIssuer,
    ca_file: value.filePath.optional(),
    token_file: value.filePath,
  }),
  listen: z.strictObject({
    address: value.address,
    port: value.listenPort,
    tls: tlsShape,
  }),
  on_lost_broker: z.strictObject({ cut_after: cutAfter }),
  warn: warning.optional().transform((length) => length ?? seconds(60)),
  drain: value.duration.optional().transform((length) => length ?? seconds(30)),
  metrics: z
    .strictObject({ address: value.address, port: value.listenPort, tls: tlsShapeWithClients.optional() })
    .optional(),
};

/** The shape of the file before a cluster. */
export const CLUSTER_SCHEMA = z.strictObject({
  ...COMMON,
  cluster: value.name,
  api_server: z.strictObject({
    url: value.server,
    ca_file: value.filePath.optional(),
    service_account_keys_file: value.filePath.optional(),
  }),
  other_credentials: value.oneOf('refuse', 'pass'),
});

/** And before targets. */
export const TARGETS_SCHEMA = z.strictObject({
  ...COMMON,
  targets: value.leaf<true>('true', (given) => (given === true ? given : undefined)),
  public_url: publicUrl,
});

/**
 * Reads, parses and checks a configuration. Relative paths in it are relative to its own folder.
 *
 * @throws CurfewError `configuration`, naming the file and all faults, one a line
 */
export async function loadSettings(file: string, readFile: FileReader = readRegularFile): Promise<Settings> {
  const absolute = path.resolve(file);
  const { text } = await readFile(absolute).catch((cause: unknown) => {
    throw new CurfewError('configuration', `${file}: ${cause instanceof Error ? cause.message : 'cannot be read'}`);
  });
  const yaml = parseYaml(text);
  if ('faults' in yaml) throw refused(file, yaml.faults);
  if (!isObject(yaml.value)) throw refused(file, [`expected a mapping of settings, got ${sayValue(yaml.value)}`]);
  const around: Surroundings = { folder: path.dirname(absolute), variable: () => undefined, readFile };
  if (yaml.value.targets !== undefined) return readTargets(file, parse(file, TARGETS_SCHEMA, yaml.value), around);
  return readCluster(file, parse(file, CLUSTER_SCHEMA, yaml.value), around);
}

/** @throws CurfewError `configuration` */
function parse<S extends z.ZodType>(file: string, schema: S, given: unknown): z.infer<S> {
  const parsed = schema.safeParse(given, { reportInput: true });
  if (parsed.success) return parsed.data;
  throw refused(
    file,
    parsed.error.issues.flatMap((issue) => sayIssue(issue)),
  );
}

/** With all that it names on disk. @throws CurfewError `configuration` */
async function readCluster(
  file: string,
  parsed: z.infer<typeof CLUSTER_SCHEMA>,
  around: Surroundings,
): Promise<Settings> {
  const faults: string[] = [];
  const { cluster, api_server, other_credentials } = parsed;
  const api_server_ca = await readCa('api_server.ca_file', api_server.ca_file, around, faults);
  const service_account_keys = await readKeys(api_server.service_account_keys_file, around, faults);
  const common = await readCommon(file, parsed, around, faults);
  const api = { url: api_server.url, ca: api_server_ca, service_account_keys };
  return Object.freeze({ ...common, cluster, api_server: api, other_credentials });
}

/** @throws CurfewError `configuration` */
async function readTargets(
  file: string,
  parsed: z.infer<typeof TARGETS_SCHEMA>,
  around: Surroundings,
): Promise<Settings> {
  const common = await readCommon(file, parsed, around, []);
  const public_url = parsed.public_url.replace(/^wss:/, 'https:').replace(/\/$/, '');
  return Object.freeze({ ...common, targets: true, public_url });
}

type Common = Pick<z.infer<typeof TARGETS_SCHEMA>, keyof typeof COMMON>;

/** @param faults that were found already @throws CurfewError `configuration`, with all of them */
async function readCommon(
  file: string,
  { broker, listen, on_lost_broker, warn, drain, metrics }: Common,
  around: Surroundings,
  faults: string[],
) {
  const token = await readSecret('broker.token_file', broker.token_file, around, faults);
  const broker_ca = await readCa('broker.ca_file', broker.ca_file, around, faults);
  const tls = await readTlsFiles('listen.tls', listen.tls, around, faults);
  const metrics_tls = metrics?.tls && (await readTlsFiles('metrics.tls', metrics.tls, around, faults));
  if (!token || faults.length > 0) throw refused(file, faults);
  return {
    broker: {
      ...{ url: broker.url.replace(/\/$/, ''), ca: broker_ca, token },
      token_file: path.resolve(around.folder, broker.token_file),
    },
    listen: { ...listen, tls },
    ...{ on_lost_broker, warn, drain },
    metrics: metrics && { ...metrics, tls: metrics_tls },
  };
}

async function readKeys(
  file: string | undefined,
  around: Surroundings,
  faults: string[],
): Promise<ServiceAccountKeys | undefined> {
  if (file === undefined) return undefined;
  const setting = 'api_server.service_account_keys_file';
  const found = await readText(setting, file, around, faults);
  if (!found) return undefined;
  const keys = parseKeys(found.text);
  if (keys.length === 0)
    faults.push(`${setting}: ${file}: expected keys, as "kubectl get --raw /openid/v1/jwks" prints them`);
  return { file: path.resolve(around.folder, file), text: found.text, keys };
}
