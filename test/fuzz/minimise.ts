// The shortest input that still fails, as far as a few thousand tries find it.

/** Tries: enough for some KiB. */
const MOST_TRIES = 3_000;

/** Leaves out halves, quarters, and at last single bytes. @param fails in the same way */
export async function minimise(input: string, fails: (shorter: string) => Promise<boolean>): Promise<string> {
  let [text, tries] = [input, 0];
  for (let size = text.length >> 1 || 1; size >= 1; size >>= 1) {
    for (let at = 0; at < text.length && tries < MOST_TRIES; tries += 1) {
      const shorter = text.slice(0, at) + text.slice(at + size);
      if (shorter.length < text.length && (await fails(shorter))) text = shorter;
      else at += size;
    }
  }
  return text;
}
