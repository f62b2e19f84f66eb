// Findings that are known, each with why it stays: they are counted, and end no run. None at present.

export interface Known {
  readonly target: string;
  /** What the error's message begins with. */
  readonly says: string;
  /** The function that it is thrown in, or one of its callers: a name that stands in the stack. */
  readonly place: string;
  /** Why it is not mended. */
  readonly reason: string;
}

export const KNOWN: readonly Known[] = [];

/** @returns the entry that this error of a target is of */
export function knownOf(
  known: readonly Known[],
  target: string,
  { message, stack = '' }: Pick<Error, 'message' | 'stack'>,
): Known | undefined {
  return known.find(
    (one) =>
      one.target === target &&
      message.startsWith(one.says) &&
      new RegExp(`\\bat (?:\\S+\\.)?${one.place}\\b`).test(stack),
  );
}
