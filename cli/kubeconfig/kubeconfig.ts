// The person's kubeconfig: which file it is, kubectl's own lock, and a change that leaves whose file it is and how it is linked.

import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs';
import { delimiter, dirname, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { CurfewError } from '../../shared/errors.ts';
import { codeOf } from '../host/error_code.ts';
import { removeFile, writeBeside, writeWhole } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import { beneathHome } from '../warm/paths.ts';
import { KubeconfigText } from './text.ts';
import { TextFault } from './yaml.ts';

/** How long kubectl's own lock is waited for, in milliseconds. */
const LONGEST_WAIT_MS = 5_000;
const LOOK_MS = 100;
/** A kubeconfig of some thousand clusters. */
const LARGEST_BYTES = 8 * 1024 * 1024;
/** How many links one may lead through. */
const MOST_LINKS = 40;

/** The files that kubectl reads, in order, those that are not there too; without `KUBECONFIG` the usual one (client-go, ClientConfigLoadingRules). */
export function kubeconfigFiles({ env }: Pick<Host, 'env'>, flag: string | undefined): readonly string[] {
  if (flag !== undefined) return [resolve(flag)];
  const listed = (env.KUBECONFIG ?? '').split(delimiter).filter((file) => file !== '');
  if (listed.length > 0) return [...new Set(listed.map((file) => resolve(file)))];
  const usual = beneathHome(env, '.kube/config');
  if (usual !== undefined) return [usual];
  throw new CurfewError('configuration', 'there is no place for a kubeconfig', {
    hint: 'set HOME, or give --kubeconfig FILE',
  });
}

/** Where `kubectl config` would write (client-go, PathOptions.GetDefaultFilename). */
export function kubeconfigFile(host: Pick<Host, 'env'>, flag: string | undefined): string {
  const files = kubeconfigFiles(host, flag);
  return files.find((file) => statSync(file, { throwIfNoEntry: false })) ?? (files.at(-1) as string);
}

/** @throws CurfewError `configuration` when it is not a kubeconfig */
export function readKubeconfig(file: string): KubeconfigText {
  return named(file, () => new KubeconfigText(readText(file)));
}

/**
 * The text of a file, to look at it, and its permission bits; no mode where there is no file.
 *
 * @throws TextFault, whose words hold nothing of the text
 */
export function readToLook(file: string): { readonly text: string; readonly mode?: number } {
  const { text, stat } = read(targetOf(file));
  return stat ? { text, mode: stat.mode & 0o777 } : { text };
}

/** The text of a file as it is to be changed; empty where there is none. @throws CurfewError `configuration` */
export function readText(file: string): string {
  return named(file, () => read(targetOf(file)).text);
}

/**
 * Changes a kubeconfig, while kubectl's own lock `<file>.lock` is held. What is not changed stays to the byte: encoding, line
 * ends, links, owner and mode too.
 *
 * @throws CurfewError `busy` when the lock stays taken, `configuration` when the file is not a kubeconfig or cannot be written:
 * it is as it was then
 */
export async function editKubeconfig<T>(
  host: Pick<Host, 'random'>,
  file: string,
  edit: (config: KubeconfigText) => T,
): Promise<T> {
  return inKubeconfig((change) => editText(host, file, change), edit);
}

/** The same, of a file that is changed in another way. */
export async function inKubeconfig<T>(
  change: (edit: (text: string) => string) => Promise<void>,
  edit: (config: KubeconfigText) => T,
): Promise<T> {
  const results: T[] = [];
  await change((text) => {
    const config = new KubeconfigText(text);
    results.push(edit(config));
    return config.toString();
  });
  return results.at(-1) as T;
}

/**
 * The same for any text that kubectl reads.
 *
 * @param edit throws TextFault where it is not to be changed
 */
export async function editText(
  host: Pick<Host, 'random'>,
  file: string,
  edit: (text: string) => string,
): Promise<void> {
  const unlock = await lock(file);
  try {
    named(file, () => {
      const target = targetOf(file);
      const { text, encode, stat } = read(target);
      const after = edit(text);
      if (after === text) return;
      refuseReadOnly(target);
      replace(target, encode(after), host, stat);
    });
  } finally {
    unlock();
  }
}

/** Faults by the name that the person knows. @throws CurfewError `configuration` */
export function named<T>(file: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof CurfewError) throw cause;
    if (cause instanceof TextFault) {
      const hint = 'correct the file, or give --kubeconfig FILE';
      throw new CurfewError('configuration', `${file}${cause.message}`, { hint });
    }
    throw new CurfewError('configuration', `${file} cannot be written (${codeOf(cause)})`, { cause });
  }
}

interface Content {
  readonly text: string;
  readonly encode: (text: string) => Uint8Array;
  /** Absent where there is no file. */
  readonly stat?: Stats | undefined;
}

/** @throws TextFault */
function read(target: string): Content {
  let fd: number;
  try {
    fd = openSync(target, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT') throw new TextFault(` cannot be read (${codeOf(cause)})`);
    return { text: '', encode: (text) => Buffer.from(text) };
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new TextFault(' is not a regular file');
    if (stat.size > LARGEST_BYTES) throw new TextFault(` is larger than ${LARGEST_BYTES / 1024 / 1024} MiB`);
    return { ...decode(readFileSync(fd)), stat };
  } finally {
    closeSync(fd);
  }
}

/** By the mark at its beginning, as kubectl's parser does it; UTF-8 without one. */
function decode(bytes: Buffer): Omit<Content, 'stat'> {
  const [label, mark] = MARKS.find(([, bom]) => bytes.subarray(0, bom.length).equals(bom)) ?? ['utf-8', NO_MARK];
  const encode = (text: string) => Buffer.concat([mark, encodeAs(label, text)]);
  try {
    const text = new TextDecoder(label, { fatal: true, ignoreBOM: true }).decode(bytes.subarray(mark.length));
    if (encode(text).equals(bytes)) return { text, encode };
  } catch {
    // Said below: whatever is wrong, it could not be put back as it is.
  }
  throw new TextFault(` is not valid ${label.toUpperCase()}`);
}

type Label = 'utf-8' | 'utf-16le' | 'utf-16be';
const NO_MARK = Buffer.alloc(0);
const MARKS: readonly (readonly [Label, Buffer])[] = [
  ['utf-8', Buffer.from([0xef, 0xbb, 0xbf])],
  ['utf-16le', Buffer.from([0xff, 0xfe])],
  ['utf-16be', Buffer.from([0xfe, 0xff])],
];

function encodeAs(label: Label, text: string): Buffer {
  if (label === 'utf-8') return Buffer.from(text);
  const little = Buffer.from(text, 'utf16le');
  return label === 'utf-16le' ? little : little.swap16();
}

/** A new file in its place would not ask for the right to write it, as kubectl does. */
function refuseReadOnly(target: string): void {
  try {
    accessSync(target, constants.W_OK);
    return;
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return;
  }
  throw new CurfewError('configuration', `${target} is read-only: nothing was written`, {
    hint: 'make it writable (chmod u+w), or give --kubeconfig FILE',
  });
}

/**
 * As a whole where the new file is the old one's like; else in place, as kubectl does it: where it is a mount point, another
 * person's, or has more than one name.
 */
function replace(target: string, bytes: Uint8Array, host: Pick<Host, 'random'>, stat: Stats | undefined): void {
  if (!stat) writeWhole(target, bytes, host, 0o600);
  else if (stat.nlink > 1 || !replaceWhole(target, bytes, host, stat)) writeInPlace(target, bytes, host);
}

/** @returns false where a new file cannot take the old one's place as it was */
function replaceWhole(target: string, bytes: Uint8Array, host: Pick<Host, 'random'>, before: Stats): boolean {
  const fresh = writeBeside(target, bytes, host, before.mode & 0o777);
  const { uid, gid } = statSync(fresh);
  try {
    if (uid === before.uid && gid === before.gid) {
      renameSync(fresh, target);
      return true;
    }
  } catch {
    // A mount point, for one.
  }
  removeFile(fresh);
  return false;
}

/** A copy of what was there lies beside it meanwhile: whatever breaks off, nothing is lost. */
function writeInPlace(target: string, bytes: Uint8Array, host: Pick<Host, 'random'>): void {
  const copy = writeBeside(target, readFileSync(target), host);
  const fd = openSync(target, constants.O_WRONLY);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
    ftruncateSync(fd, bytes.length);
    fsyncSync(fd);
  } catch (cause) {
    const message = `${target} could not be written (${codeOf(cause)}): it is kept as it was in ${copy}`;
    throw new CurfewError('configuration', message, { cause });
  } finally {
    closeSync(fd);
  }
  removeFile(copy);
}

/** As client-go does it: the file must not be there, and is gone afterwards. */
async function lock(file: string): Promise<() => void> {
  const name = `${file}.lock`;
  for (let spent = 0; ; spent += LOOK_MS) {
    try {
      mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
      closeSync(openSync(name, 'wx', 0o600));
      return () => void removeFile(name);
    } catch (cause) {
      const code = codeOf(cause);
      if (code !== 'EEXIST') throw new CurfewError('configuration', `${name} cannot be made (${code})`, { cause });
      if (spent >= LONGEST_WAIT_MS) {
        const hint = `if no kubectl is changing it now, remove ${name}`;
        throw new CurfewError('busy', `${file} is locked by another program`, { hint });
      }
    }
    await pause(LOOK_MS);
  }
}

/** A link stays a link: what it leads to is written, and made where it is not there. */
function targetOf(file: string): string {
  let target = file;
  for (let links = 0; links < MOST_LINKS; links++) {
    try {
      return realpathSync(target);
    } catch (cause) {
      if (codeOf(cause) !== 'ENOENT') throw new TextFault(` cannot be read (${codeOf(cause)})`);
    }
    try {
      target = resolve(dirname(target), readlinkSync(target));
    } catch {
      return target;
    }
  }
  throw new TextFault(' leads through too many links');
}
