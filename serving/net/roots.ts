// Whose certificates are believed where the broker, or a gateway, asks others.

import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { STRONG_TLS } from '../../shared/tls.ts';

/** Whose certificates are believed where we ask others: the system's roots and Node's, and one more. @param ca PEM */
export function trustedRoots(ca: string | undefined): string[] {
  const roots = [...getCACertificates('default'), ...getCACertificates('system'), ...(ca === undefined ? [] : [ca])];
  return [...new Set(roots)];
}

export interface TlsOptions {
  readonly secureContext: SecureContext;
  readonly rejectUnauthorized: true;
}

/**
 * For connections of Node.js that are opened again and again: the roots are read once, as they take more than a MiB outside of the heap.
 * Said outright, so that NODE_TLS_REJECT_UNAUTHORIZED=0 changes nothing.
 *
 * @param ca PEM
 */
export function tlsTo(ca: string | undefined): TlsOptions {
  return {
    secureContext: createSecureContext({ ca: trustedRoots(ca), ...STRONG_TLS }),
    rejectUnauthorized: true,
  };
}
