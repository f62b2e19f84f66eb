// One `go build` of a pinned program, told as it goes. Knows nothing of the cache.
import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { go_version, type Program } from './versions.ts';

export type Log = (line: string) => void;

const TICK_MS = 20_000;
const INSTALL_GO = `install Go ${go_version} or newer so that \`go\` is on the PATH; the tests build etcd, kube-apiserver, kubectl and kwok with it`;

// The user's own settings (module proxy, checksum database, toolchain) stay as they are. No workspace file above the
// checkout may take part, and no C compiler may be needed.
const environment = { ...process.env, GOWORK: 'off', GO111MODULE: 'on', CGO_ENABLED: '0' };

/** Toolchain and platform a module would be built with, e.g. `go1.26.8-linux-amd64`. */
export async function goToolchain(folder: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('go', ['env', 'GOVERSION', 'GOOS', 'GOARCH'], {
      cwd: folder,
      env: environment,
    });
    return stdout.trim().split('\n').join('-');
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if ('code' in error && error.code === 'ENOENT') throw new Error(`go is not installed: ${INSTALL_GO}`);
    const said = 'stderr' in error ? String(error.stderr).trim() : error.message;
    throw new Error(`go cannot build the test cluster: ${said}; ${INSTALL_GO}`);
  }
}

/**
 * Builds `program` into `output`.
 *
 * @param expected_seconds what to tell the person who waits
 * @throws Error with the end of go's own words if the build fails
 */
export async function goBuild(program: Program, output: string, expected_seconds: number, log: Log): Promise<void> {
  const ldflags = ['-s', '-w', ...program.variables.flatMap((variable) => ['-X', variable])].join(' ');
  const go = spawn(
    'go',
    // -mod=readonly: go.mod and go.sum in modules/ decide what is compiled, and nothing edits them on the way.
    [
      'build',
      '-v',
      '-mod=readonly',
      '-trimpath',
      '-buildvcs=false',
      '-ldflags',
      ldflags,
      '-o',
      output,
      program.package,
    ],
    { cwd: program.module.folder, env: environment, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const started = performance.now();
  const elapsed = () => formatSeconds((performance.now() - started) / 1000);
  let said: string[] = [];
  let packages = 0;
  go.stderr.setEncoding('utf8').on('data', (text: string) => {
    const lines = text.split('\n').filter((line) => line !== '');
    packages += lines.filter((line) => !/\s/.test(line)).length;
    said = [...said, ...lines].slice(-30);
  });
  const ticks = setInterval(() => {
    const usual = formatSeconds(expected_seconds);
    log(`building ${program.name}: ${elapsed()} of about ${usual}, ${packages} packages compiled`);
  }, TICK_MS);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      go.once('error', reject).once('close', resolve);
    });
    if (code !== 0) throw new Error(`go build of ${program.name} failed (${code}):\n${said.join('\n')}`);
  } finally {
    clearInterval(ticks);
  }
}

/** `95` as `1m35s`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole}s` : `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, '0')}s`;
}
