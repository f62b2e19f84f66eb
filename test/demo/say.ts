// What the demo says, and how it waits for a person to end it.

export function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Resolves at Ctrl-C, SIGTERM, or when the terminal goes away. */
export function ended(): Promise<void> {
  // Something must keep the process alive while nothing else does.
  const alive = setInterval(() => undefined, 60_000);
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      // Not `once`: while somebody listens, nobody else ends the process before it has cleaned up.
      process.on(signal, () => {
        clearInterval(alive);
        resolve();
      });
    }
  });
}
