// The options of commands, as they are typed.

export interface AuthzOptions {
  readonly config: string;
  readonly cluster: string;
  readonly kubeconfig: string;
  readonly kubernetes?: string;
}

export interface FreeOptions {
  readonly config: string;
  readonly all?: true;
  readonly reason?: string;
}

/** Of an option that may be given again. */
export function several(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
