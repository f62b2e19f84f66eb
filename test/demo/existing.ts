// The demo with a cluster that is there: identity provider and broker run here, and the cluster is told to trust them.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { run } from '../../scripts/run.ts';
import { createCertificateAuthority } from '../support/certificates.ts';
import { startIdp } from '../support/idp.ts';
import { makePerson } from '../support/person.ts';
import { startSite } from '../support/site.ts';
import { RBAC, USERS } from '../support/world.ts';
import { whatToType } from './hand.ts';
import { DEMO_POLICY } from './policy.ts';
import { ended, say } from './say.ts';

export interface ExistingCluster {
  readonly kubeconfig: string;
  readonly context: string | undefined;
  /** Where the cluster reaches the broker. */
  readonly issuer: string;
  readonly kubectl: string;
}

export async function withExistingCluster({ kubeconfig, context, issuer, kubectl }: ExistingCluster): Promise<void> {
  const api = await apiServerOf(kubectl, kubeconfig, context);
  const done = ended();
  const dir = await mkdtemp(path.join(tmpdir(), 'curfew-demo-'));
  const authority = await createCertificateAuthority(path.join(dir, 'ca'));
  const caFile = path.join(dir, 'api-server.crt');
  await writeFile(caFile, api.ca);
  const idp = await startIdp({ users: USERS });
  try {
    const loopback = ['127.0.0.1', 'localhost'].includes(new URL(issuer).hostname);
    const address = loopback ? '127.0.0.1' : '0.0.0.0';
    const cluster = { name: 'dev', audience: 'dev', allowed_groups: ['*'], server: api.server, ca_file: caFile };
    const site = await startSite({ dir, authority, idp, issuer, address, policy: DEMO_POLICY }, [cluster]);
    try {
      const authenticationConfig = path.join(dir, 'authentication.yaml');
      const rbac = path.join(dir, 'rbac.yaml');
      await writeFile(authenticationConfig, await site.authenticationConfig('dev'));
      await writeFile(rbac, RBAC);
      const home = path.join(dir, 'alice');
      await mkdir(home);
      const browser = { user: 'alice', password: USERS.alice?.password ?? '' };
      const person = await makePerson({
        dir: home,
        brokerUrl: issuer,
        caFile: authority.caFile,
        kubectl,
        browser,
        withoutNative: say,
      });
      say(`
curfew-broker runs at ${issuer}. Set at the API server ${api.server}, which must be able to reach it there:

  --authentication-config=${authenticationConfig}
      A copy of this file on the control plane. It trusts this broker's issuer only: if the API server has a file
      already, add the entry under "jwt" to it. An API server that runs takes up the change within a minute.

And give the two people something to do:

  kubectl --kubeconfig ${kubeconfig}${context === undefined ? '' : ` --context ${context}`} apply -f ${rbac}
${whatToType(person, issuer, authority.caFile)}`);
      await done;
      say('\nstopping');
    } finally {
      await site.stop();
    }
  } finally {
    await idp.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

/** @throws Error with kubectl's own words when the file or its context is not good */
async function apiServerOf(kubectl: string, kubeconfig: string, context: string | undefined) {
  const chosen = context === undefined ? [] : ['--context', context];
  const view = [
    'config',
    'view',
    '--kubeconfig',
    kubeconfig,
    '--minify',
    '--raw',
    '--flatten',
    '-o',
    'json',
    ...chosen,
  ];
  const { code, stdout, stderr } = await run(kubectl, view);
  if (code !== 0) throw new Error(`${kubeconfig}: ${stderr.trim()}`);
  const { clusters } = JSON.parse(stdout) as { clusters?: { cluster: Record<string, string> }[] };
  const { server, 'certificate-authority-data': data } = clusters?.[0]?.cluster ?? {};
  if (server === undefined) throw new Error(`${kubeconfig}: its current context names no cluster`);
  if (data === undefined) throw new Error(`${kubeconfig}: the cluster has no certificate-authority`);
  return { server, ca: Buffer.from(data, 'base64').toString() };
}
