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

/** The shape of the file. */
export const SCHEMA = z.strictObject({
  broker: z.strictObject({
    url: value.upstreamIssuer,
    ca_file: value.filePath.optional(),
    token_file: value.filePath,
  }),
  cluster: value.name,
  listen: z.strictObject({
    address: value.address,
    port: value.listenPort,
    tls: tlsShape,
  }),
  api_server: z.strictObject({
    url: value.server,
    ca_file: value.filePath.optional(),
    service_account_keys_file: value.filePath.optional(),
  }),
  other_credentials: value.oneOf('refuse', 'pass'),
  on_lost_broker: z.strictObject({ cut_after: cutAfter }),
  warn: warning.optional().transform((length) => length ?? seconds(60)),
  drain: value.duration.optional().transform((length) => length ?? seconds(30)),
  metrics: z
    .strictObject({ address: value.address, port: value.listenPort, tls: tlsShapeWithClients.optional() })
    .optional(),
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
  const parsed = SCHEMA.safeParse(yaml.value, { reportInput: true });
  if (!parsed.success) {
    throw refused(
      file,
      parsed.error.issues.flatMap((issue) => sayIssue(issue)),
    );
  }
  const around: Surroundings = { folder: path.dirname(absolute), variable: () => undefined, readFile };
  return readFiles(file, parsed.data, around);
}

/** With all that it names on disk. @throws CurfewError `configuration` */
async function readFiles(file: string, parsed: z.infer<typeof SCHEMA>, around: Surroundings): Promise<Settings> {
  const faults: string[] = [];
  const { broker, cluster, listen, api_server, other_credentials, on_lost_broker, warn, drain, metrics } = parsed;
  const token = await readSecret('broker.token_file', broker.token_file, around, faults);
  const broker_ca = await readCa('broker.ca_file', broker.ca_file, around, faults);
  const api_server_ca = await readCa('api_server.ca_file', api_server.ca_file, around, faults);
  const service_account_keys = await readKeys(api_server.service_account_keys_file, around, faults);
  const tls = await readTlsFiles('listen.tls', listen.tls, around, faults);
  const metrics_tls = metrics?.tls && (await readTlsFiles('metrics.tls', metrics.tls, around, faults));
  if (!token || faults.length > 0) throw refused(file, faults);
  return Object.freeze({
    broker: {
      ...{ url: broker.url.replace(/\/$/, ''), ca: broker_ca, token },
      token_file: path.resolve(around.folder, broker.token_file),
    },
    cluster,
    listen: { ...listen, tls },
    api_server: { url: api_server.url, ca: api_server_ca, service_account_keys },
    ...{ other_credentials, on_lost_broker, warn, drain },
    metrics: metrics && { ...metrics, tls: metrics_tls },
  });
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
