// The exec plugin's two ends (client.authentication.k8s.io): what kubectl says, and what it reads. Loads nothing.

import { CurfewError } from '../../shared/errors.ts';
import { parseJson } from '../../shared/json.ts';
import type { Seconds } from '../../shared/time.ts';
import { isObject } from '../../shared/wire.ts';

/** Of client.authentication.k8s.io. */
export const EXEC_VERSIONS = ['v1', 'v1beta1'] as const;
const VERSIONS = ['client.authentication.k8s.io/v1', 'client.authentication.k8s.io/v1beta1'] as const;
const LARGEST_BYTES = 1024 * 1024;

export interface ExecInfo {
  readonly apiVersion: (typeof VERSIONS)[number];
  /** Whether a person can be asked: kubectl passed its terminal on. */
  readonly interactive: boolean;
}

/**
 * Parses `KUBERNETES_EXEC_INFO`: the ExecCredential that client-go passes in (Kubernetes, client-go credential plugins).
 *
 * @throws CurfewError `usage` when it is absent, malformed, huge or of a version that we do not speak
 */
export function parseExecInfo(text: string | undefined): ExecInfo {
  if (!text) {
    const hint = 'kubectl calls get-token; by hand, use: kubectl curfew login, or kubectl curfew status';
    throw new CurfewError('usage', 'KUBERNETES_EXEC_INFO is not set', { hint });
  }
  if (text.length > LARGEST_BYTES) throw malformed('is too large');
  const info = parseJson(text);
  if (info === undefined) throw malformed('is not JSON');
  // kube-rs before 0.87, and what is built on it, says no kind.
  if (!isObject(info) || (info.kind ?? 'ExecCredential') !== 'ExecCredential')
    throw malformed('is not an ExecCredential');
  const apiVersion = VERSIONS.find((version) => version === info.apiVersion);
  if (apiVersion === undefined) throw malformed('is of an unknown version: v1 and v1beta1 are known');
  const interactive = isObject(info.spec) && info.spec.interactive === true;
  return { apiVersion, interactive };
}

/** As a client says it that has nobody to be asked. */
export function printExecInfo(apiVersion: string): string {
  return JSON.stringify({ apiVersion, kind: 'ExecCredential', spec: { interactive: false } });
}

/** The ExecCredential that kubectl reads; its `apiVersion` must be the one asked for. */
export function printCredential({ apiVersion, interactive }: ExecInfo, token: string, expires: Seconds): string {
  const expirationTimestamp = new Date(expires * 1000).toISOString().replace('.000Z', 'Z');
  const status = { expirationTimestamp, token };
  return `${JSON.stringify({ kind: 'ExecCredential', apiVersion, spec: { interactive }, status })}\n`;
}

function malformed(fault: string): CurfewError {
  const hint = `use a client that speaks ${VERSIONS[0]}, or set that as apiVersion in kubeconfig's exec section`;
  return new CurfewError('usage', `KUBERNETES_EXEC_INFO ${fault}`, { hint });
}
