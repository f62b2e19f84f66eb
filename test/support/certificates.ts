// A throw-away certificate authority for tests and demo, by the openssl command. Not for anything that lasts.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** What a certificate is for. `name` also names its files; `hosts` are DNS names or IP addresses. */
export interface CertificateRequest {
  readonly name: string;
  readonly hosts: readonly string[];
  readonly days?: number;
}

export interface IssuedCertificate {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface CertificateAuthority {
  readonly caFile: string;
  readonly caPem: string;
  /** Signs a new key's certificate; issuing a name again replaces both files by rename, as a renewal does. */
  issue(request: CertificateRequest): Promise<IssuedCertificate>;
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

async function openssl(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<void> {
  await execute('openssl', args, { timeout: 30_000, env: { ...process.env, ...env } });
}

function fileName(name: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw new TypeError(`a certificate's name becomes a file name, got ${JSON.stringify(name)}`);
  }
  return name;
}

/** Files appear with mode 0600: they are created empty before openssl writes into them. */
async function reserve(...files: readonly string[]): Promise<void> {
  for (const file of files) await writeFile(file, '', { mode: 0o600 });
}

const distinguished = '[req]\ndistinguished_name = dn\nprompt = no\nutf8 = yes\n[dn]\n';

function authorityConfig(name: string): string {
  return `${distinguished}CN = ${name}
[ext]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
`;
}

function leafConfig({ name, hosts }: CertificateRequest): string {
  const names = hosts.map((host) => (isIP(host) ? `IP:${host}` : `DNS:${host}`)).join(', ');
  return `${distinguished}CN = ${name}
[ext]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = ${names}
`;
}

/**
 * Makes a certificate authority (ECDSA P-256) with its files in `dir`, which is created.
 * @param name its common name, also the stem of its files
 * @param env for openssl, such as that of another clock
 */
export async function createCertificateAuthority(
  dir: string,
  name = 'curfew-test-ca',
  env: Readonly<Record<string, string>> = {},
): Promise<CertificateAuthority> {
  const home = resolve(dir);
  await mkdir(home, { recursive: true, mode: 0o700 });
  const stem = join(home, fileName(name));
  const caFile = `${stem}.crt`;
  const caKey = `${stem}.key`;
  await reserve(caFile, caKey);
  await writeFile(`${stem}.cnf`, authorityConfig(name), { mode: 0o600 });
  const config = ['-config', `${stem}.cnf`, '-extensions', 'ext'];
  await openssl(['req', '-x509', ...newKey, ...config, '-days', '30', '-keyout', caKey, '-out', caFile], env);
  const caPem = await readFile(caFile, 'utf8');

  return {
    caFile,
    caPem,
    async issue(request) {
      if (request.hosts.length === 0) throw new TypeError('a server certificate needs at least one host');
      const leaf = join(home, fileName(request.name));
      const fresh = `${leaf}.${randomBytes(4).toString('hex')}`;
      await reserve(`${fresh}.key`, `${fresh}.crt`, `${fresh}.cnf`);
      await writeFile(`${fresh}.cnf`, leafConfig(request));
      const signer = ['-CA', caFile, '-CAkey', caKey, '-days', String(request.days ?? 7)];
      const leafArgs = ['-config', `${fresh}.cnf`, '-extensions', 'ext'];
      await openssl(
        ['req', '-x509', ...newKey, ...leafArgs, ...signer, '-keyout', `${fresh}.key`, '-out', `${fresh}.crt`],
        env,
      );
      for (const kind of ['cnf', 'key', 'crt']) await rename(`${fresh}.${kind}`, `${leaf}.${kind}`);
      return { certFile: `${leaf}.crt`, keyFile: `${leaf}.key` };
    },
  };
}
