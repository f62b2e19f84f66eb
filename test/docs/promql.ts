// As much of PromQL as it takes to say which metrics and labels an expression names.

export interface Selector {
  readonly metric: string;
  /** Of its matchers. */
  readonly labels: readonly string[];
  /** Whether a range follows, as `rate` wants one. */
  readonly range: boolean;
}

export interface Query {
  readonly selectors: readonly Selector[];
  /** What `by`, `on` and the like name. */
  readonly grouping: readonly string[];
}

const LISTS = ['by', 'without', 'on', 'ignoring', 'group_left', 'group_right'];
const OPERATORS = ['and', 'or', 'unless', 'atan2', 'bool', 'offset', 'inf', 'nan', ...LISTS];

/** @throws Error for a character that is none of PromQL's */
export function parseQuery(text: string): Query {
  const tokens = tokensOf(text);
  const selectors: Selector[] = [];
  const grouping: string[] = [];
  /** All tokens up to the closing one, and where it stands. */
  const until = (close: string, from: number) => {
    const end = tokens.indexOf(close, from);
    if (end === -1) throw new Error(`no ${close} in ${text}`);
    return { inside: tokens.slice(from, end), end };
  };
  for (let i = 0; i < tokens.length; i++) {
    const [token = '', next] = [tokens[i], tokens[i + 1]];
    if (LISTS.includes(token.toLowerCase()) && next === '(') {
      const { inside, end } = until(')', i + 2);
      grouping.push(...inside.filter(isName));
      i = end;
      continue;
    }
    // `sum by (…) (…)`
    const isFunction = next === '(' || ['by', 'without'].includes(next?.toLowerCase() ?? '');
    if (!isName(token) || isFunction || OPERATORS.includes(token.toLowerCase())) continue;
    const { inside, end } = next === '{' ? until('}', i + 2) : { inside: [], end: i };
    selectors.push({ metric: token, labels: inside.filter(isName), range: tokens[end + 1]?.startsWith('[') === true });
    i = end;
  }
  return { selectors, grouping };
}

const isName = (token: string) => /^[A-Za-z_:]/.test(token);

/** Texts become `""`; a range with its duration is one token, as is a number. */
function tokensOf(text: string): string[] {
  const form =
    /(?<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|\[[^\]]*\]|\d[\w.]*|[A-Za-z_:][\w:]*|=~|!~|!=|==|>=|<=|[-+*/%^=<>(){},@]|\s+|(?<other>.)/g;
  return [...text.matchAll(form)].flatMap(({ 0: token, groups = {} }) => {
    if (groups.other !== undefined) throw new Error(`${groups.other} is no PromQL, in ${text}`);
    if (groups.text !== undefined) return ['""'];
    return /^\s/.test(token) ? [] : [token];
  });
}
