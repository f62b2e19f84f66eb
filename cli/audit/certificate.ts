// What a client certificate says of itself: who, and until when. Pure.

import { X509Certificate } from 'node:crypto';
import { fromMilliseconds, type Seconds } from '../../shared/time.ts';
import { oneLine } from '../warm/one_line.ts';

export interface CertificateFacts {
  /** `CN`, and each `O`: user and groups, to kube-apiserver. */
  readonly user: string;
  readonly groups: readonly string[];
  readonly end: Seconds;
}

/** @param pem or base64 of it, as in `client-certificate-data` @returns `undefined` where it cannot be read */
export function factsOfCertificate(pem: string): CertificateFacts | undefined {
  try {
    const text = pem.includes('-----BEGIN') ? pem : Buffer.from(pem, 'base64');
    const certificate = new X509Certificate(text);
    const parts = certificate.subject.split('\n');
    const all = (key: string) =>
      parts.filter((part) => part.startsWith(`${key}=`)).map((part) => oneLine(part.slice(key.length + 1)));
    const end = fromMilliseconds(certificate.validToDate.getTime());
    return { user: all('CN')[0] ?? '', groups: all('O'), end };
  } catch {
    return undefined;
  }
}

/** Users that are parts of a cluster, not people: kubelets, the controller manager. */
export function isOfMachine({ user }: CertificateFacts): boolean {
  return /^system:(?:node|serviceaccount|kube|apiserver)/.test(user) || /^(?:kube-apiserver|kubelet|etcd)/.test(user);
}
