// kube-apiserver with the etcd below it: their flags, their start, and how we know that they serve.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createCertificateAuthority } from '../support/certificates.ts';
import type { Binaries } from './build.ts';
import { freePort } from './ports.ts';
import type { Processes, Running } from './processes.ts';

export type ApiServer = {
  /** `https://127.0.0.1:PORT` */
  readonly server: string;
  readonly ca_file: string;
  readonly ca_pem: string;
  /** Bearer token of a user in system:masters. */
  readonly admin_token: string;
  readonly log_file: string;
  /** Certificate for 127.0.0.1, also good for what else the control plane listens on. */
  readonly cert_file: string;
  readonly key_file: string;
  /** Kills it, and resolves when another serves in its place. */
  restart(): Promise<void>;
};

export type ApiServerSettings = {
  /** Folder for the files of both programs; short, as UNIX sockets lie in it. */
  readonly folder: string;
  readonly authentication_config_file: string;
  readonly authorization_config_file?: string;
  readonly extra_args: readonly string[];
};

const READY_WITHIN_MS = 90_000;
const POLL_MS = 25;

/** Starts etcd, then kube-apiserver, and resolves when `/readyz` says so. */
export async function startApiServer(
  binaries: Binaries,
  processes: Processes,
  settings: ApiServerSettings,
): Promise<ApiServer> {
  const { folder } = settings;
  const [etcd, files] = await Promise.all([startEtcd(binaries, processes, folder), writeFiles(folder)]);
  const log_file = join(folder, 'kube-apiserver.log');
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    const args = apiServerArgs(settings, files, etcd, port);
    const start = () => processes.start({ command: binaries.kubeApiserver, args, cwd: folder, env: {}, log_file });
    let running = await start();
    const restart = async () => {
      process.kill(running.pid, 'SIGKILL');
      while (running.ended() === undefined) await sleep(POLL_MS);
      running = await start();
      if (!(await isReady(apiServer, running))) throw new Error(`kube-apiserver ended:\n${await logTail(log_file)}`);
    };
    const apiServer = { server: `https://127.0.0.1:${port}`, log_file, ...files, restart };
    if (await isReady(apiServer, running)) return apiServer;
    const said = await logTail(log_file);
    const portWasTaken = said.includes('address already in use');
    if (!portWasTaken || attempt === 5) throw new Error(`kube-apiserver ended (${running.ended()}):\n${said}`);
  }
}

/** GET as the administrator. Rejects if the server cannot be reached. */
export function getAsAdmin(
  { server, ca_pem, admin_token }: Pick<ApiServer, 'server' | 'ca_pem' | 'admin_token'>,
  path: string,
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${admin_token}` };
    const get = request(`${server}${path}`, { ca: ca_pem, headers, agent: false, timeout: 10_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.once('end', () => resolve({ status: response.statusCode ?? 0, body })).once('error', reject);
    });
    get.once('timeout', () => get.destroy(new Error(`${server}${path} did not answer within 10s`)));
    get.once('error', reject).end();
  });
}

/** The last lines of a log, for an error that has to tell why. */
export async function logTail(file: string): Promise<string> {
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  return lines
    .slice(-25)
    .map((line) => line.slice(0, 400))
    .join('\n');
}

/** @returns the socket on which etcd serves */
async function startEtcd(binaries: Binaries, processes: Processes, folder: string): Promise<string> {
  const socket = join(folder, 'etcd.sock');
  const log_file = join(folder, 'etcd.log');
  const running = await processes.start({
    command: binaries.etcd,
    args: [
      '--name=test',
      `--data-dir=${join(folder, 'etcd')}`,
      // Nothing in it is to survive a crash of the machine.
      '--unsafe-no-fsync',
      `--listen-client-urls=unix://${socket}`,
      `--listen-peer-urls=unix://${join(folder, 'etcd-peer.sock')}`,
      // Names of its one member: nobody listens there. They may not be UNIX sockets.
      '--advertise-client-urls=http://localhost:2379',
      '--initial-advertise-peer-urls=http://localhost:2380',
      '--initial-cluster=test=http://localhost:2380',
      '--log-level=warn',
    ],
    cwd: folder,
    env: {},
    log_file,
  });
  const deadline = performance.now() + READY_WITHIN_MS;
  while (!existsSync(socket)) {
    const how = running.ended() ?? (performance.now() > deadline ? 'not ready in time' : undefined);
    if (how !== undefined) throw new Error(`etcd did not start (${how}):\n${await logTail(log_file)}`);
    await sleep(POLL_MS);
  }
  return socket;
}

type Files = Omit<ApiServer, 'server' | 'log_file' | 'restart'> & {
  readonly token_file: string;
  readonly service_account_key_file: string;
};

async function writeFiles(folder: string): Promise<Files> {
  const admin_token = randomBytes(32).toString('hex');
  const token_file = join(folder, 'tokens.csv');
  const service_account_key_file = join(folder, 'service-account.key');
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const authority = await createCertificateAuthority(join(folder, 'pki'), 'kubernetes');
  const [{ certFile, keyFile }] = await Promise.all([
    authority.issue({ name: 'kube-apiserver', hosts: ['127.0.0.1', 'localhost'] }),
    writeFile(token_file, `${admin_token},test-admin,test-admin,"system:masters"\n`, { mode: 0o600 }),
    writeFile(service_account_key_file, privateKey.export({ type: 'sec1', format: 'pem' }), { mode: 0o600 }),
  ]);
  return {
    ca_file: authority.caFile,
    ca_pem: authority.caPem,
    admin_token,
    cert_file: certFile,
    key_file: keyFile,
    token_file,
    service_account_key_file,
  };
}

function apiServerArgs(settings: ApiServerSettings, files: Files, etcdSocket: string, port: number): string[] {
  const { authentication_config_file, authorization_config_file, extra_args } = settings;
  return [
    `--etcd-servers=unix://${etcdSocket}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--tls-cert-file=${files.cert_file}`,
    `--tls-private-key-file=${files.key_file}`,
    `--authentication-config=${authentication_config_file}`,
    authorization_config_file === undefined
      ? '--authorization-mode=RBAC'
      : `--authorization-config=${authorization_config_file}`,
    `--token-auth-file=${files.token_file}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${files.service_account_key_file}`,
    `--service-account-signing-key-file=${files.service_account_key_file}`,
    '--service-cluster-ip-range=10.0.0.0/24',
    // No machine but this one takes part, and it may have no other address.
    '--advertise-address=127.0.0.1',
    '--endpoint-reconciler-type=none',
    // No controller makes service accounts here, so no pod could be created.
    '--disable-admission-plugins=ServiceAccount',
    '--kubelet-preferred-address-types=InternalIP',
    ...extra_args,
  ];
}

/** @returns false if it ended by itself. @throws Error if it is not ready in time */
async function isReady(apiServer: Omit<ApiServer, 'restart'>, running: Running): Promise<boolean> {
  const deadline = performance.now() + READY_WITHIN_MS;
  while (running.ended() === undefined) {
    const answer = await getAsAdmin(apiServer, '/readyz').catch(() => undefined);
    if (answer?.status === 200) return true;
    if (performance.now() > deadline) {
      throw new Error(
        `kube-apiserver is not ready after ${READY_WITHIN_MS / 1000}s:\n${await logTail(apiServer.log_file)}`,
      );
    }
    await sleep(POLL_MS);
  }
  return false;
}
