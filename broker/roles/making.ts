// Roles that this process makes just now: who removes one at that very moment may come too early.

const making = new Set<string>();

export function isBeingMade({ name }: { readonly name: string }): boolean {
  return making.has(name);
}

/** Until it is known what became of it. */
export async function whileMaking<T>(name: string, work: Promise<T>): Promise<T> {
  making.add(name);
  try {
    return await work;
  } finally {
    making.delete(name);
  }
}
