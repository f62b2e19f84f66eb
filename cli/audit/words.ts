// What of a kubeconfig may be printed: names as they are, unless they look like what nobody should read.

import { looksSecret } from '../../shared/secret_words.ts';
import { oneLine } from '../warm/one_line.ts';

/** Of an entry. */
export function sayName(name: string): string {
  return looksSecret(name) ? '(a name that looks like a secret)' : oneLine(name);
}

/** Of a field: where a colon is missing a space, a secret is part of it. */
export function sayKey(key: string): string {
  return /^[\w.-]{1,64}$/.test(key) && !looksSecret(key) ? key : '(a key)';
}

/** A program; with words after it, which nobody would run, these may be anything. */
export function sayCommand(command: string): string {
  return /[\s=]/.test(command) || looksSecret(command) ? '(a command with arguments in it)' : oneLine(command);
}
