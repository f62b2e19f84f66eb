// The body of an answer, as a text, and no more of it than is wanted.

/** @returns `undefined` when there is more than `most` bytes: the rest is not read */
export async function readBounded(body: AsyncIterable<Uint8Array> | null, most: number): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.length;
    if (size > most) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
