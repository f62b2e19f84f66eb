// Globs over names: `*` for any run of characters, `?` for one.

export type Glob = string;

/** Glob match over a name, at worst the product of both lengths: no regular expression, so no pattern can make it slow. */
export function globMatches(glob: Glob, name: string): boolean {
  let [g, n, star, mark] = [0, 0, -1, 0];
  while (n < name.length) {
    if (glob[g] === '*') {
      star = g++;
      mark = n;
    } else if (g < glob.length && (glob[g] === '?' || glob[g] === name[n])) {
      g++;
      n++;
    } else if (star >= 0) {
      g = star + 1;
      n = ++mark;
    } else return false;
  }
  while (glob[g] === '*') g++;
  return g === glob.length;
}
