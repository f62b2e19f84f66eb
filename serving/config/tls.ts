// The server's certificate: read from files, and again whenever they change. A broken pair never replaces a good one.

import { constants } from 'node:crypto';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import type { BaseLogger } from 'pino';
import { CurfewError } from '../../shared/errors.ts';
import { STRONG_TLS } from '../../shared/tls.ts';
import { readRegularFile } from '../files/regular_file.ts';
import { watchFiles } from '../files/watch.ts';
import { faultOfCertificates } from './named_files.ts';

/** Where they are; absolute paths. */
export interface TlsFiles {
  readonly cert_file: string;
  readonly key_file: string;
  /** Of those whose certificates are believed: clients are asked for one then, and need none by that alone. */
  readonly client_ca_file?: string | undefined;
}

export interface TlsPair {
  readonly cert: string;
  readonly key: string;
  readonly client_ca?: string | undefined;
}

/** The part of `https.Server` (`tls.Server`) that a reload needs. */
export interface SecureServer {
  setSecureContext(options: SecureContextOptions): void;
}

export interface TlsWatch {
  /** Reads the files now, and uses them when they changed and are good. Never throws. */
  reload(): Promise<void>;
  close(): void;
}

/**
 * What `https.createServer` takes, and `setSecureContext` again at each reload: that forgets whatever it is not told. Renegotiation (TLS 1.2)
 * costs a server more than whoever asks for it, and nobody needs it.
 */
export function tlsOptions({ cert, key, client_ca }: TlsPair): SecureContextOptions & typeof STRONG_TLS {
  // Who needs a certificate is judged by what is asked (`ClientCertificates`).
  const clients = client_ca === undefined ? {} : { ca: client_ca, requestCert: true, rejectUnauthorized: false };
  return { cert, key, ...clients, ...STRONG_TLS, secureOptions: constants.SSL_OP_NO_RENEGOTIATION };
}

/** @param setting that names the files @throws CurfewError `configuration` when a file cannot be read or the pair cannot be used. */
export async function readTlsPair(files: TlsFiles, setting = 'listen.tls'): Promise<TlsPair> {
  const { cert_file, key_file, client_ca_file } = files;
  try {
    const texts = await Promise.all(
      [cert_file, key_file, ...(client_ca_file ? [client_ca_file] : [])].map(readRegularFile),
    );
    const [cert = '', key = '', client_ca] = texts.map(({ text }) => text);
    const unusable = client_ca === undefined ? undefined : faultOfCertificates(client_ca);
    const fault = faultOfPair(cert, key) ?? (unusable && `client_ca_file ${unusable}`);
    if (fault) throw new CurfewError('configuration', `${setting}: ${fault}`);
    return { cert, key, client_ca };
  } catch (error) {
    if (error instanceof CurfewError) throw error;
    const why = error instanceof Error ? error.message : 'unknown error';
    throw new CurfewError('configuration', `${setting}: certificate or key cannot be read: ${why}`);
  }
}

/** Whether OpenSSL takes certificate and key, and they belong together; says what is wrong, never what stands in them. */
export function faultOfPair(cert: string, key: string): string | undefined {
  // OpenSSL takes an empty text for none at all, and then every handshake fails
  if (!cert.includes('BEGIN CERTIFICATE')) return 'cert_file holds no certificate in PEM';
  if (!key.includes('PRIVATE KEY')) return 'key_file holds no private key in PEM';
  try {
    createSecureContext({ cert, key });
    return undefined;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    return code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH'
      ? 'the certificate in cert_file and the key in key_file do not belong together'
      : `certificate or key cannot be used (${code})`;
  }
}

export interface TlsWatchOptions {
  readonly log: Pick<BaseLogger, 'info' | 'error' | 'warn'>;
  /** Milliseconds. */
  readonly interval?: number;
  /** That names the files. */
  readonly setting?: string;
  /** Is called once others than before are believed. */
  readonly onClientCa?: (() => void) | undefined;
}

/**
 * Keeps a server's certificate up to date: on a change in the files' folders (Kubernetes swaps a link there), and by
 * looking every `interval` milliseconds where the file system reports nothing. Keeps no process alive.
 */
export function watchTls(
  server: SecureServer,
  files: TlsFiles,
  current: TlsPair,
  { log, interval = 30_000, setting = 'listen.tls', onClientCa }: TlsWatchOptions,
): TlsWatch {
  let [used, refused, client_ca] = [fingerprint(current), '', current.client_ca];
  const reload = async (): Promise<void> => {
    try {
      const pair = await readTlsPair(files, setting);
      if (fingerprint(pair) === used) return;
      server.setSecureContext(tlsOptions(pair));
      [used, refused] = [fingerprint(pair), ''];
      if (client_ca !== pair.client_ca) onClientCa?.();
      client_ca = pair.client_ca;
      log.info({ cert_file: files.cert_file }, 'certificate reloaded');
    } catch (error) {
      const reason = error instanceof CurfewError ? error.message : 'the certificate cannot be used';
      // said once: a rotation that stays half done is found again at every look
      if (reason !== refused)
        log.error({ cert_file: files.cert_file, reason }, 'certificate not reloaded, the old one stays');
      refused = reason;
    }
  };
  const { cert_file, key_file, client_ca_file } = files;
  const watched = [cert_file, key_file, ...(client_ca_file === undefined ? [] : [client_ca_file])];
  const close = watchFiles(watched, reload, { log, interval });
  return { reload, close };
}

function fingerprint({ cert, key, client_ca = '' }: TlsPair): string {
  return `${cert}\0${key}\0${client_ca}`;
}
