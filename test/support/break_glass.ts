// Break-glass as docs/operations.md describes it: its commands, run as they are there, with the places of a test.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buildBundles } from '../../scripts/bundle.ts';
import { type RunResult, run } from '../../scripts/run.ts';
import type { ControlPlane } from '../cluster/control_plane.ts';
import { blocks, read } from '../docs/documents.ts';
import { createCertificateAuthority } from './certificates.ts';

const [, REST = ''] = read('docs/operations.md').split(/^## Break-glass$/m);
const [SECTION = ''] = REST.split(/^## /m);

export interface BreakGlass {
  /** Of the API server: whose certificates it takes, and what it writes down. */
  readonly flags: readonly string[];
  /** The blocks of commands, in their order. */
  readonly commands: readonly string[];
  /** Runs one of them, or a line of one. */
  shell(text: string, plane: ControlPlane, configFile: string): Promise<RunResult>;
  remove(): void;
}

/** The cluster's authority and the policy of its audit log, before its API server starts. */
export async function makeBreakGlass(): Promise<BreakGlass> {
  const folder = mkdtempSync(path.join(tmpdir(), 'curfew-break-glass-'));
  const pki = path.join(folder, 'pki');
  const [policyFile, auditLog] = [path.join(folder, 'policy.yaml'), path.join(folder, 'audit.log')];
  await createCertificateAuthority(pki, 'ca');
  writeFileSync(policyFile, blocks(SECTION, 'yaml')[0] ?? '');
  const { broker, cli } = await buildBundles();
  return {
    flags: [
      `--client-ca-file=${path.join(pki, 'ca.crt')}`,
      `--audit-policy-file=${policyFile}`,
      `--audit-log-path=${auditLog}`,
    ],
    commands: blocks(SECTION, 'sh'),
    shell(text, plane, configFile) {
      const here = text
        .replaceAll('--certificate-authority=/etc/kubernetes/pki/ca.crt', `--certificate-authority=${plane.caFile}`)
        .replaceAll('/etc/kubernetes/pki', pki)
        .replaceAll('/var/log/kubernetes/audit.log', auditLog)
        .replaceAll('https://prod.example.com:6443', plane.server)
        .replaceAll('/etc/curfew/curfew-broker.yaml', configFile)
        .replaceAll(' admin.kubeconfig', ` ${plane.adminKubeconfig}`);
      const programs = [
        `curfew-broker() { "${process.execPath}" "${broker}" "$@"; }`,
        `plugin() { "${process.execPath}" "${cli}" "$@"; }`,
        `kubectl() { if [ "$1" = curfew ]; then shift; plugin "$@"; else "${plane.kubectlPath}" "$@"; fi; }`,
      ];
      const env = { PATH: process.env.PATH, HOME: folder, KUBECONFIG: plane.adminKubeconfig, KUBERC: 'off' };
      return run('bash', ['-euo', 'pipefail', '-c', `${programs.join('\n')}\n${here}`], { cwd: folder, env });
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
