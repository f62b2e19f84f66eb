// The broker's side of a world on PostgreSQL: two replicas behind one address. Whatever a gateway asks is answered by the second, all else
// by the first: what a gateway learns of an end came through the database.

import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { stringify } from 'yaml';
import { type BrokerProcess, startBroker } from './broker_process.ts';
import type { CertificateAuthority } from './certificates.ts';
import { listenOn } from './ports.ts';
import { startPostgres } from './postgres.ts';
import { runCommand, type Settings, type Site, type SiteOptions, settingsOf } from './site.ts';

const REPLICAS = ['first', 'second'];

export async function startReplicatedSite(options: SiteOptions, clusters: readonly Settings[]): Promise<Site> {
  const { dir, authority, issuer } = options;
  const server = await startPostgres();
  const files = { key: path.join(dir, 'encryption-key'), database: path.join(dir, 'database') };
  await writeFile(files.key, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  await writeFile(files.database, await server.createDatabase(), { mode: 0o600 });
  const settings = {
    ...settingsOf(options, files.key),
    listen: { address: '127.0.0.1', port: 0 },
    clusters,
    // A witness of its own for each: the path is relative to its configuration.
    store: { postgres: { url_file: files.database }, witness_file: 'witness/curfew' },
    ...options.sections,
  };
  const configs = REPLICAS.map((name) => path.join(dir, name, 'curfew-broker.yaml'));
  for (const file of configs) await mkdir(path.dirname(file));
  const rewrite = async (changes: Settings) => {
    for (const file of configs) await writeFile(file, stringify({ ...settings, ...changes }));
  };
  const start = async (changes: Settings) => {
    await rewrite(changes);
    // One after the other: the first makes the tables.
    const started: BrokerProcess[] = [];
    for (const configFile of configs) started.push(await startBroker({ configFile }));
    return started;
  };
  let replicas = await start({});
  const front = await startFront(authority, issuer, (of_gateway) => replicas[of_gateway ? 1 : 0]?.url ?? '');
  const kill = () => Promise.all(replicas.map((one) => one.kill()));
  const [configFile = ''] = configs;
  return {
    ...{ url: issuer, configFile, rewrite, ...runCommand(configFile) },
    get broker() {
      return together(replicas);
    },
    async restart(changes) {
      await kill();
      replicas = await start(changes);
    },
    async stop() {
      await front.stop();
      await kill();
      await server.stop();
    },
  };
}

/** What both have said. */
function together(replicas: readonly BrokerProcess[]): BrokerProcess {
  const [first] = replicas;
  if (!first) throw new TypeError('no replica was started');
  return {
    ...first,
    audit: () => replicas.flatMap((one) => one.audit()),
    log: () => replicas.map((one) => one.log()).join('\n'),
  };
}

/** Ends TLS, and passes on what comes as it came. */
async function startFront(authority: CertificateAuthority, issuer: string, urlFor: (of_gateway: boolean) => string) {
  const { certFile, keyFile } = await authority.issue({ name: 'broker', hosts: ['127.0.0.1', 'localhost'] });
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
  const agent = new http.Agent({ keepAlive: true });
  const front = https.createServer({ cert, key }, (incoming, response) => {
    const { method, url = '', headers } = incoming;
    const of_gateway = url.startsWith('/v1/gateway/') || (url === '/token' && headers.authorization !== undefined);
    const away = () => response.destroy();
    const passed = http.request(urlFor(of_gateway) + url, { method, headers, agent }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.on('error', away).pipe(response);
    });
    passed.on('error', away);
    response.once('close', () => passed.destroy());
    incoming.pipe(passed);
  });
  await listenOn(front, Number(new URL(issuer).port), '127.0.0.1');
  return {
    async stop() {
      front.closeAllConnections();
      front.close();
      agent.destroy();
    },
  };
}
