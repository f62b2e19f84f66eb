// The rooms of each workspace from bottom to top: a room imports from those above it in this list, and from none below. A room is a
// folder, or one file beside the folders. A new room is entered here, and in ARCHITECTURE.md.

export const FLOORS = {
  broker: [
    'background.ts',
    'files',
    'text',
    'net',
    'audit_log',
    'rules',
    'config',
    'store',
    'refusals',
    'tokens',
    'upstream',
    'clock',
    'api_servers',
    'policy',
    'sessions',
    'metrics',
    'hooks',
    'failed_logins',
    'broker.ts',
    'outcome',
    'judgement',
    'webhooks',
    'bound_tokens',
    'signals',
    'grants',
    'api',
    'layers',
    'commands',
    'http',
    'sweeper.ts',
    'serve.ts',
    'main.ts',
  ],
  cli: [
    'warm',
    'host',
    'kubeconfig',
    'wire',
    'secrets',
    'session',
    'login',
    'commands',
    'native',
    'program.ts',
    'main.ts',
    'kubectl_curfew.ts',
  ],
} as const satisfies Readonly<Record<string, readonly string[]>>;

/** Rooms with a wall around them: they import from nothing but what is named, themselves, and `shared`. */
export const WALLS: Readonly<Record<string, { readonly why: string; readonly doors: readonly string[] }>> = {
  'cli/warm': { why: 'what every call of kubectl runs, and what the native program holds', doors: [] },
  'cli/native': { why: 'the native program holds nothing but the warm path', doors: ['cli/warm'] },
};
