// Makes scripted browsers: a command for `BROWSER`, with a person, a cookie jar and a log of its own.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Mode, Outcome } from './browser_visit.ts';
import { compileCache } from './compile_cache.ts';
import { until } from './patience.ts';

export interface BrowserSettings {
  readonly user: string;
  readonly password: string;
  readonly otp?: string;
  /** `login` (default), `abandon`, `deny` or `slow:SECONDS`. */
  readonly mode?: Mode;
  /** Cookies live here between visits; a file of its own unless told. */
  readonly jar?: string;
  /** A CA to trust, for an IdP at https. */
  readonly caFile?: string;
}

/** One opened tab. What `Outcome` tells is there once the visit has `ended`. */
export interface Visit extends Partial<Omit<Outcome, 'ended'>> {
  readonly url: string;
  readonly mode: Mode;
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly ended?: Outcome['ended'] | 'failed';
  readonly error?: string;
}

export interface Browser {
  /** One executable without arguments; it takes the URL. */
  readonly command: string;
  /** Every tab opened so far, in order, also those still open. */
  visits(): readonly Visit[];
  /** Waits until that many visits have ended, and returns all. */
  waitForVisits(count: number): Promise<readonly Visit[]>;
  /** Changes settings for later visits. */
  set(patch: Partial<BrowserSettings>): void;
}

const main = fileURLToPath(new URL('browser_main.ts', import.meta.url));

function quoted(value: string): string {
  return `'${value.replaceAll("'", `'\\''`)}'`;
}

/** The launcher takes nothing from the program that calls it: no bent clock, no options, no settings of another browser. */
function launcher(settings: BrowserSettings, jar: string, log: string): string {
  const variables = {
    TEST_BROWSER_USER: settings.user,
    TEST_BROWSER_PASSWORD: settings.password,
    TEST_BROWSER_OTP: settings.otp ?? '',
    TEST_BROWSER_MODE: settings.mode ?? 'login',
    TEST_BROWSER_JAR: settings.jar ?? jar,
    TEST_BROWSER_LOG: log,
    NODE_EXTRA_CA_CERTS: settings.caFile ?? '',
    ...compileCache(),
  };
  const exports = Object.entries(variables).map(([name, value]) => `export ${name}=${quoted(value)}`);
  return [
    '#!/bin/sh',
    'unset LD_PRELOAD FAKETIME FAKETIME_TIMESTAMP_FILE NODE_OPTIONS NODE_TLS_REJECT_UNAUTHORIZED',
    ...exports,
    `exec ${quoted(process.execPath)} ${quoted(main)} "$@"`,
    '',
  ].join('\n');
}

function parseLog(file: string): Visit[] {
  const visits = new Map<string, Visit>();
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return [];
  }
  for (const line of text.split('\n').filter(Boolean)) {
    const { id, ...entry } = JSON.parse(line) as Visit & { id: string };
    visits.set(id, { ...visits.get(id), ...entry });
  }
  return [...visits.values()];
}

/**
 * Writes a browser's launcher into `dir` (0700: it holds the password).
 * @param name tells browsers in one folder apart; the user's name unless told
 */
export function makeBrowser(dir: string, settings: BrowserSettings, name = settings.user): Browser {
  const stem = join(resolve(dir), `browser-${name.replace(/[^\w.-]/g, '_')}`);
  const [command, jar, log] = [`${stem}.sh`, `${stem}.jar`, `${stem}.log`];
  let current = settings;
  function write(): void {
    writeFileSync(`${command}.new`, launcher(current, jar, log), { mode: 0o700 });
    renameSync(`${command}.new`, command);
  }
  write();
  return {
    command,
    visits: () => parseLog(log),
    async waitForVisits(count) {
      const ended = () => parseLog(log).filter(({ ended }) => ended !== undefined);
      await until(() => ended().length >= count, `fewer than ${count} visits ended`);
      return parseLog(log);
    },
    set(patch) {
      current = { ...current, ...patch };
      write();
    },
  };
}
