// What the native program holds of others: the engine, and what the compiler puts into each program for its target.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { OtherPart } from './sbom.ts';
import type { Part } from './third_party.ts';

interface Sources {
  /** The folder of the engine's C source. */
  readonly quickjs: string;
  /** The compiler's program. */
  readonly zig: string;
}

const REQUIREMENTS = path.resolve(import.meta.dirname, '../native/requirements.txt');

export function nativeParts(): OtherPart[] {
  const pins = readFileSync(REQUIREMENTS, 'utf8');
  const [, engine = ''] = /^# QuickJS-ng (\S+) /m.exec(pins) ?? [];
  const [, compiler = ''] = /^ziglang==(\S+)/m.exec(pins) ?? [];
  return [
    { name: 'quickjs-ng', version: engine, licence: 'MIT' },
    // As it comes with the compiler, which changes it and gives it no version.
    { name: 'musl', licence: 'MIT' },
    { name: 'zig-compiler-rt', version: compiler, licence: 'MIT' },
    // In those for Windows; permissive, it asks for its text.
    { name: 'mingw-w64', licence: 'ZPL-2.1' },
  ];
}

/** The same with their texts, from what the program is built with. @throws Error where a text is not there */
export function nativePartsWithTexts({ quickjs, zig }: Sources): Part[] {
  const text: Readonly<Record<string, string>> = {
    'quickjs-ng': headOf(path.join(quickjs, 'quickjs.c')),
    musl: readFileSync(path.join(path.dirname(zig), 'lib/libc/musl/COPYRIGHT'), 'utf8').trim(),
    'mingw-w64': readFileSync(path.join(path.dirname(zig), 'lib/libc/mingw/COPYING'), 'utf8').trim(),
    'zig-compiler-rt': readFileSync(path.join(path.dirname(zig), 'LICENSE'), 'utf8').trim(),
  };
  return nativeParts().map(({ name, version = '', licence }) => ({
    ...{ name, version, licence },
    texts: [text[name] ?? ''],
  }));
}

/** Its licence is the first comment of each source. */
function headOf(file: string): string {
  const [, comment = ''] = /^\/\*\n([\s\S]*?)\n \*\//.exec(readFileSync(file, 'utf8')) ?? [];
  if (!comment.includes('Copyright')) throw new Error(`${file} does not begin with its licence`);
  return comment.replaceAll(/^ \* ?/gm, '').trim();
}
