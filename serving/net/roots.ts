// Whose certificates are believed where the broker asks others.

import { getCACertificates } from 'node:tls';

/** Whose certificates are believed where we ask others: the system's roots and Node's, and one more. @param ca PEM */
export function trustedRoots(ca: string | undefined): string[] {
  const roots = [...getCACertificates('default'), ...getCACertificates('system'), ...(ca === undefined ? [] : [ca])];
  return [...new Set(roots)];
}
