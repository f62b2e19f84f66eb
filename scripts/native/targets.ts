// The machines that the native program is built for.

export interface Target {
  /** As Node.js says it: platform and architecture. */
  readonly name: string;
  /** As the compiler says it. */
  readonly triple: string;
  /** Whether our tests run it; the others are only built. */
  readonly tested: boolean;
  /** Relative to the checkout; where it is shipped from, unless it is not to be shipped. */
  readonly folder?: string;
}

/** On Linux musl, linked statically: it needs no library, so it runs everywhere, and starts sooner. */
export const TARGETS: readonly Target[] = [
  { name: 'linux-x64', triple: 'x86_64-linux-musl', tested: true },
  { name: 'linux-arm64', triple: 'aarch64-linux-musl', tested: false },
  { name: 'darwin-x64', triple: 'x86_64-macos.12.0', tested: false },
  { name: 'darwin-arm64', triple: 'aarch64-macos.12.0', tested: false },
  { name: 'win32-x64', triple: 'x86_64-windows-gnu', tested: false },
  { name: 'win32-arm64', triple: 'aarch64-windows-gnu', tested: false },
];

/** The engine on which the bytecode is made: any little-endian 64-bit machine makes the same. */
export function hostTriple(): string {
  const [architecture, system] = [
    process.arch === 'arm64' ? 'aarch64' : 'x86_64',
    process.platform === 'darwin' ? 'macos' : 'linux-musl',
  ];
  return `${architecture}-${system}`;
}
