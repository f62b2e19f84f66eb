// The scripted browser as a program: visits the URL given as its last argument, as the environment says, and logs it.
import { randomBytes } from 'node:crypto';
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { CookieJar } from 'tough-cookie';
import { type Mode, visit } from './browser_visit.ts';

const { env } = process;
/** What a log may show of a query: nothing that a stranger could use. */
const harmless = new Set(['max_age', 'prompt', 'acr_values', 'scope', 'client_id', 'redirect_uri', 'response_type']);

function shown(url: URL): string {
  const query = [...url.searchParams].filter(([name]) => harmless.has(name));
  return `${url.origin}${url.pathname}?${new URLSearchParams(query)}`;
}

function loadJar(file: string | undefined): CookieJar {
  try {
    return CookieJar.deserializeSync(readFileSync(file ?? '', 'utf8'));
  } catch {
    return new CookieJar();
  }
}

function saveJar(jar: CookieJar, file: string | undefined): void {
  if (file === undefined) return;
  const fresh = `${file}.${randomBytes(4).toString('hex')}`;
  writeFileSync(fresh, JSON.stringify(jar.serializeSync()), { mode: 0o600 });
  renameSync(fresh, file);
}

const id = randomBytes(6).toString('hex');
function log(entry: Record<string, unknown>): void {
  if (env.TEST_BROWSER_LOG) appendFileSync(env.TEST_BROWSER_LOG, `${JSON.stringify({ id, ...entry })}\n`);
}

const start = new URL(process.argv.at(-1) ?? '');
const mode = (env.TEST_BROWSER_MODE ?? 'login') as Mode;
const person = {
  user: env.TEST_BROWSER_USER ?? '',
  password: env.TEST_BROWSER_PASSWORD ?? '',
  otp: env.TEST_BROWSER_OTP ?? '',
};
log({ url: shown(start), mode, time: Date.now() });
const jar = loadJar(env.TEST_BROWSER_JAR);
const save = () => saveJar(jar, env.TEST_BROWSER_JAR);
try {
  const outcome = await visit(start, person, mode, jar, save);
  save();
  log({ ...outcome });
} catch (error) {
  const { message, cause } = error as Error;
  log({ ended: 'failed', error: cause instanceof Error ? `${message}: ${cause.message}` : message });
}
process.exit(0);
