// What the warm path may ask of the machine, whichever program it runs in: Node.js, or the small native one. Loads nothing.

import type { Seconds } from '../../shared/time.ts';

export interface Stat {
  readonly kind: 'file' | 'directory' | 'other';
  /** Without meaning where the system has no user ids. */
  readonly uid: number;
  /** The permission bits. */
  readonly mode: number;
}

/** `fault` is the system's name of an error, such as `ENOENT`. */
export type Opened =
  | { readonly fault: string; readonly stat?: undefined; readonly content?: undefined }
  /** `content` is absent where it is not a regular file, cannot be read, or is longer than `most`. */
  | { readonly stat: Stat; readonly content?: string | undefined; readonly fault?: undefined };

export interface Files {
  /** Of the name itself, not of what a link leads to. */
  lstat(path: string): Stat | undefined;
  /**
   * Opens and reads, and never waits at a FIFO.
   *
   * @param most bytes
   * @param follow whether a symbolic link is followed; otherwise it is the fault `ELOOP`
   */
  read(path: string, most: number, follow: boolean): Opened;
  /** `cache/checksum.ts`, or the same where that would take long. */
  readonly checksum: (text: string) => string;
}

/** Who looks at files, and through what. */
export interface Reader {
  readonly files: Files;
  readonly uid: UserId;
}

/** A person's own files, and where the environment says that they are. */
export interface OwnFiles extends Reader {
  readonly env: Environment;
}

/**
 * Of stdin and stderr. `none`: nothing that we say gets to a terminal. `lines`: it may. `taken`: it is in raw mode, so nobody
 * is asked. `drawn_on`: so it is, and by whoever called us: nothing is written there either.
 */
export type TerminalState = 'none' | 'lines' | 'taken' | 'drawn_on';

/** Whether a full-screen program has the terminal. */
export function isTaken(state: TerminalState): boolean {
  return state === 'taken' || state === 'drawn_on';
}

/** Whoever called us, and when it was looked. */
export interface Caller {
  /** Process id, and where the system says it when that process began: an id is used again. */
  readonly process: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export interface Machine extends OwnFiles {
  /** Without the program's own name. */
  readonly args: readonly string[];
  readonly now: Seconds;
  /** `posix`, or `windows` with its own way to write lists of paths. */
  readonly system: 'posix' | 'windows';
  /** What runs this, for `--version`. */
  readonly runtime: string;
  /** The full program looks again. */
  readonly terminal: TerminalState;
  /** `undefined` where it is not known, or takes our words as its own to pass on: then it gets them each time. */
  readonly caller: () => Caller | undefined;
}

export type Environment = Readonly<Record<string, string | undefined>>;
/** The person's user id, or `undefined` where the system has none (Windows). */
export type UserId = number | undefined;
