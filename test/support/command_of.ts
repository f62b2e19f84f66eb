// How a program is started: a bundle by Node.js, whatever else is there (what is installed from a package, a native program) by itself.

export function commandOf(program: string): readonly [string, ...string[]] {
  return program.endsWith('.cjs') ? [process.execPath, program] : [program];
}
