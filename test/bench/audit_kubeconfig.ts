// `audit kubeconfig` on a kubeconfig of 1,000 users with their clusters and contexts, each in turn as another tool writes it: the whole
// process, as a person waits for it.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { buildBundles } from '../../scripts/bundle.ts';
import { run } from '../../scripts/run.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import type { Bench } from './figure.ts';
import { median } from './statistics.ts';

const NAME = 'audit_kubeconfig.1000_entries.ms';
const ENTRIES = 1000;
const ROUNDS = 15;

export const auditKubeconfig: Bench = {
  figures: [
    {
      name: NAME,
      unit: 'ms',
      aim: { at_most: 500 },
      says: '`audit kubeconfig` on 1,000 users with clusters and contexts, whole process, median',
    },
  ],
  async run({ folder: parent, quick, log }) {
    const folder = await mkdtemp(path.join(parent, 'audit-'));
    const { cli } = await buildBundles();
    const authority = await createCertificateAuthority(path.join(folder, 'ca'));
    const file = path.join(folder, 'kubeconfig');
    await writeFile(file, kubeconfig(authority.caPem), { mode: 0o600 });
    const env = { HOME: folder, PATH: process.env.PATH ?? '' };
    const times: number[] = [];
    for (let round = 0; round < (quick ? 2 : ROUNDS); round++) {
      const start = performance.now();
      const { code, stdout, stderr } = await run(process.execPath, [cli, 'audit', 'kubeconfig', file, '-o', 'json'], {
        env,
      });
      times.push(performance.now() - start);
      if (code !== 1) throw new Error(`ended with ${code}: ${stderr}`);
      const { findings } = JSON.parse(stdout) as { findings: readonly object[] };
      if (findings.length < ENTRIES) throw new Error(`${findings.length} findings`);
    }
    log(`${ENTRIES} entries: ${times.map((time) => time.toFixed(0)).join(' ')} ms`);
    return { [NAME]: median(times) };
  },
};

function kubeconfig(pem: string): string {
  const authority = Buffer.from(pem).toString('base64');
  const [clusters, contexts, users]: [string[], string[], string[]] = [[], [], []];
  for (let i = 0; i < ENTRIES; i++) {
    const server = `https://cluster-${i}.example.com:6443`;
    clusters.push(
      `- cluster:\n    certificate-authority-data: ${authority}\n    server: ${server}\n  name: cluster-${i}\n`,
    );
    contexts.push(`- context:\n    cluster: cluster-${i}\n    user: user-${i}\n  name: context-${i}\n`);
    users.push(`- name: user-${i}\n  user:\n${(KINDS[i % KINDS.length] as (typeof KINDS)[number])(authority)}`);
  }
  return `apiVersion: v1\nkind: Config\nclusters:\n${clusters.join('')}contexts:\n${contexts.join('')}users:\n${users.join('')}`;
}

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const KEY = Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' })).toString('base64');
const exec = (command: string, ...args: readonly string[]) =>
  `    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      args:\n${args.map((arg) => `      - ${arg}\n`).join('')}      command: ${command}\n`;

const KINDS: readonly ((certificate: string) => string)[] = [
  (certificate) => `    client-certificate-data: ${certificate}\n    client-key-data: ${KEY}\n`,
  () => `    token: ${randomBytes(32).toString('base64url')}\n`,
  () => exec('aws', '--region', 'eu-central-1', 'eks', 'get-token', '--cluster-name', 'prod'),
  () =>
    exec('/usr/local/bin/kubelogin', 'get-token', '--oidc-issuer-url=https://idp.example.com', '--oidc-client-id=k'),
];
