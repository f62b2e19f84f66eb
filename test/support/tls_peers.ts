// What a server speaks, asked by clients that offer one thing alone; and servers that speak one thing alone, for our clients.

import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createSecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { type ConnectionOptions, connect, type SecureVersion } from 'node:tls';
import type { IssuedCertificate } from './certificates.ts';

export interface Offer {
  readonly version: SecureVersion;
  readonly suite?: string;
}

/** Offers that must be refused: by their age, or as what they encrypt with is authenticated apart. */
export const WEAK_OFFERS: Readonly<Record<string, Offer>> = {
  'TLS 1.0': { version: 'TLSv1' },
  'TLS 1.1': { version: 'TLSv1.1' },
  'CBC with SHA-1': { version: 'TLSv1.2', suite: 'ECDHE-ECDSA-AES256-SHA' },
  'CBC with SHA-256': { version: 'TLSv1.2', suite: 'ECDHE-ECDSA-AES128-SHA256' },
  'CBC with SHA-384': { version: 'TLSv1.2', suite: 'ECDHE-ECDSA-AES256-SHA384' },
};

export const STRONG_OFFERS: Readonly<Record<string, Offer>> = {
  'AES-128-GCM': { version: 'TLSv1.2', suite: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
  'AES-256-GCM': { version: 'TLSv1.2', suite: 'ECDHE-ECDSA-AES256-GCM-SHA384' },
  ChaCha20: { version: 'TLSv1.2', suite: 'ECDHE-ECDSA-CHACHA20-POLY1305' },
  'TLS 1.3': { version: 'TLSv1.3' },
};

/** What OpenSSL speaks as far down as it can, and nothing but the offer. */
function only({ version, suite }: Offer) {
  const suites = suite ?? (version === 'TLSv1.3' ? 'TLS_AES_128_GCM_SHA256:ALL' : 'ALL');
  return { minVersion: version, maxVersion: version, ciphers: `${suites}:@SECLEVEL=0` } as const;
}

/** @returns the suite that was agreed on, or the code of the failure */
export async function negotiate(url: string, ca: string, offer: Offer, more: ConnectionOptions = {}): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), ca, ...only(offer), ...more });
  try {
    await once(socket, 'secureConnect');
    return socket.getCipher().name;
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'no code';
  } finally {
    socket.destroy();
  }
}

export interface Peer {
  readonly url: string;
  /** How many requests reached it. */
  readonly served: () => number;
  close(): void;
}

/** A server that speaks the offer alone, and answers everything with `{}`. */
export async function startPeer(files: IssuedCertificate, offer: Offer): Promise<Peer> {
  const [cert, key] = await Promise.all([readFile(files.certFile), readFile(files.keyFile)]);
  let served = 0;
  const server = createSecureServer({ cert, key, ...only(offer), allowHTTP1: true }, (_request, response) => {
    served += 1;
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end('{}');
  });
  server.on('sessionError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { url: `https://127.0.0.1:${port}`, served: () => served, close: () => server.close() };
}
