// What the machine gives to the program, made in main.ts and passed on: clock, randomness, environment, the two outputs.

import { CurfewError } from '../../shared/errors.ts';
import type { Clock, Stopwatch } from '../../shared/time.ts';
import { configDirectory } from '../warm/folders.ts';
import type { OwnFiles, TerminalState } from '../warm/machine.ts';
import { cacheDirectory } from '../warm/paths.ts';
import type { StrangeHome } from './own_home.ts';

/** What time it is, and how it passes: by a clock that may be set, and by one that never is. */
export interface Clocks {
  readonly now: Clock;
  readonly stopwatch: Stopwatch;
}

/** Whose files are used; `env` is without another person's folders (`own_home.ts`). */
export interface Owner extends OwnFiles {
  /** Set where HOME is another person's, as under `sudo -E`: nothing is read or written there. */
  readonly strange_home?: StrangeHome | undefined;
  /** Where administrators say which brokers are trusted, and who must own that. */
  readonly administrators: { readonly folder: string; readonly uid: number };
}

/** What is running, and on what. */
export interface Program {
  readonly platform: NodeJS.Platform;
  readonly arch: NodeJS.Architecture;
  /** Absolute paths: Node, and the folder of the bundles. */
  readonly node: string;
  readonly bundles: string;
}

/** Whoever called us: kubectl, or a person's shell. */
export interface Parent {
  /** Process id. */
  readonly parent: number;
  /** Whether nobody waits for us any more: the caller is gone, or the terminal hung up. */
  readonly abandoned: () => boolean;
}

/** The terminal of a person, where there is one. */
export interface Terminal {
  /** Whether a person is at a terminal, to be asked by a command. kubectl says for itself whether one is (`exec_info.ts`). */
  readonly interactive: boolean;
  /** What the terminal was when it was first asked for: before anything of ours changed it. */
  readonly terminal: () => TerminalState;
  /** stderr: one line for the person, as `curfew: …`. */
  readonly say: (line: string) => void;
  /** stderr, as it is: a drawing. */
  readonly show: (text: string) => void;
  /** The terminal's size where stderr is one on which a line can be taken away again. */
  readonly size: () => { readonly columns: number; readonly rows: number } | undefined;
  /** The one line that replaces itself; `undefined` takes it away. Whatever ends the program takes it away as well. */
  readonly status: (line: string | undefined) => void;
  /**
   * A line that the person types or pastes, of any length; it is not shown.
   *
   * @param deadline milliseconds
   * @returns `undefined` when none came, also when `signal` ends it
   */
  readonly ask: (prompt: string, deadline: number, signal: AbortSignal) => Promise<string | undefined>;
}

/** All of it, for the commands. What they call takes the piece that it uses. */
export interface Host extends Clocks, Owner, Program, Parent, Terminal {
  readonly random: (bytes: number) => Buffer;
  /** stdout: only an ExecCredential or the output that was asked for. */
  readonly print: (text: string) => void;
}

export function configDirectoryOf(host: OwnFiles): string {
  return configDirectory(host.env, host) ?? lost('CURFEW_CONFIG_DIR');
}

export function cacheDirectoryOf(host: OwnFiles): string {
  return cacheDirectory(host.env, host) ?? lost('CURFEW_CACHE_DIR');
}

function lost(name: string): never {
  throw new CurfewError('configuration', `neither ${name} nor HOME is an absolute path`, {
    hint: `set HOME, or ${name}`,
  });
}
