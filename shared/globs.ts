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

/** A name that both globs match, or `undefined` where no name can. At worst the product of both lengths. */
export function commonName(a: Glob, b: Glob): string | undefined {
  const known = new Map<number, string | undefined>();
  const find = (i: number, j: number): string | undefined => {
    const key = i * (b.length + 1) + j;
    if (!known.has(key)) known.set(key, step(i, j));
    return known.get(key);
  };
  const step = (i: number, j: number): string | undefined => {
    const [x, y] = [a[i], b[j]];
    if (x === undefined && y === undefined) return '';
    // A star takes nothing more, or one more character of the other.
    if (x === '*') return find(i + 1, j) ?? (y === undefined ? undefined : begin(y, find(i, j + 1)));
    if (y === '*') return find(i, j + 1) ?? (x === undefined ? undefined : begin(x, find(i + 1, j)));
    if (x === undefined || y === undefined || (x !== y && x !== '?' && y !== '?')) return undefined;
    return begin(x === '?' ? y : x, find(i + 1, j + 1));
  };
  return find(0, 0);
}

function begin(first: string, rest: string | undefined): string | undefined {
  if (rest === undefined) return undefined;
  return first === '*' ? rest : `${first === '?' ? 'x' : first}${rest}`;
}
