// What evaluating a condition can take at most, found from its text alone: whoever asks brings up to 500 groups, and everybody
// else waits meanwhile. Counts upwards wherever it does not know. Pure.

import { memberOf } from '../../shared/json.ts';

/** A part of an expression, as the language's parser gives it. */
export interface Part {
  readonly op: string;
  readonly args: unknown;
}

/** How large a value can be: its characters, its elements, and each of these. */
interface Size {
  readonly text: number;
  readonly list: number;
  readonly item?: Size | undefined;
}

interface Cost {
  /** About as many parts of an expression as are evaluated in that time: some 50 ns each. */
  readonly steps: number;
  readonly size: Size;
}

/** Names that are bound in an expression, by macros. */
type Bound = ReadonlyMap<string, Size>;

const textOf = (text: number): Size => ({ text, list: 0 });
const listOf = (list: number, item: Size): Size => ({ text: 0, list, item });
const SMALL = textOf(0);

/** Numbers as text, and the like. */
const SHORT = textOf(400);
const NAME = textOf(256);
/** By the name of a field: as many as identity, ID token and settings take. Groups fit into a token together. */
const FIELDS: Readonly<Record<string, Size>> = {
  groups: listOf(500, textOf(32)),
  amr: listOf(50, textOf(256)),
  labels: listOf(100, NAME),
};
const LARGEST_FIELD = Object.values(FIELDS).reduce(larger, NAME);

/** @returns the most steps that evaluating this can take; infinite for what cannot be bounded */
export function mostSteps(expression: Part): number {
  return costOf(expression, new Map()).steps;
}

function costOf({ op, args }: Part, bound: Bound): Cost {
  const of = (part: unknown) => costOf(part as Part, bound);
  switch (op) {
    case 'value':
      return { steps: 1, size: typeof args === 'string' ? textOf(args.length) : SMALL };
    case 'id':
      return { steps: 1, size: bound.get(String(args)) ?? SMALL };
    case '.':
    case '[]': {
      const [whole, key] = args as [Part, string | Part];
      const [from, at] = [of(whole), typeof key === 'string' ? undefined : of(key)];
      return { steps: 1 + from.steps + (at?.steps ?? 0), size: inside(from.size, key) };
    }
    case '!_':
    case '-_':
      return { steps: 1 + of(args).steps, size: SMALL };
    case '?:': {
      const [test, yes, no] = (args as Part[]).map(of) as [Cost, Cost, Cost];
      return { steps: 1 + test.steps + Math.max(yes.steps, no.steps), size: larger(yes.size, no.size) };
    }
    case 'list': {
      const items = (args as Part[]).map(of);
      return { steps: 1 + sum(items), size: listOf(items.length, largest(items)) };
    }
    case 'map': {
      const entries = (args as Part[][]).flat().map(of);
      return { steps: 1 + 4 * sum(entries), size: listOf(entries.length, largest(entries)) };
    }
    case 'call': {
      const [name, given] = args as [string, Part[]];
      return ofFunction(name, undefined, given, bound);
    }
    case 'rcall': {
      const [name, receiver, given] = args as [string, Part, Part[]];
      return ofMacro(name, receiver, given, bound) ?? ofFunction(name, receiver, given, bound);
    }
    default:
      return ofOperator(op, args, bound);
  }
}

/** `user.groups` by its name, whatever it is read of; else what is in there. */
function inside(whole: Size, key: string | Part): Size {
  const name =
    typeof key === 'string' ? key : key.op === 'value' && typeof key.args === 'string' ? key.args : undefined;
  const field = name === undefined ? LARGEST_FIELD : (memberOf(FIELDS, name) ?? NAME);
  return larger(field, larger(whole.item ?? SMALL, textOf(whole.text)));
}

function ofOperator(op: string, args: unknown, bound: Bound): Cost {
  const [left, right] = (Array.isArray(args) ? args : []).map((part) => costOf(part as Part, bound));
  if (!left || !right) return UNBOUNDED;
  const steps = 1 + left.steps + right.steps;
  switch (op) {
    case '&&':
    case '||':
    case '-':
    case '*':
    case '/':
    case '%':
      return { steps, size: SMALL };
    case '==':
    case '!=':
    case '<':
    case '<=':
    case '>':
    case '>=':
      return { steps: steps + compared(left.size) + compared(right.size), size: SMALL };
    case 'in':
      return { steps: steps + compared(right.size) + right.size.list * (1 + compared(left.size)), size: SMALL };
    case '+': {
      const size = {
        text: left.size.text + right.size.text,
        list: left.size.list + right.size.list,
        item: larger(left.size.item ?? SMALL, right.size.item ?? SMALL),
      };
      return { steps: steps + size.list + size.text / 16, size };
    }
    default:
      return UNBOUNDED;
  }
}

const UNBOUNDED: Cost = { steps: Number.POSITIVE_INFINITY, size: SMALL };

/** Those of the language that go over a list, and `cel.bind`. */
function ofMacro(name: string, receiver: Part, given: readonly Part[], bound: Bound): Cost | undefined {
  const [variable, ...rest] = given;
  if (name === 'bind') {
    const [value, body] = rest;
    if (receiver.op !== 'id' || receiver.args !== 'cel' || variable?.op !== 'id' || !value || !body) return UNBOUNDED;
    const whole = costOf(value, bound);
    const within = costOf(body, new Map(bound).set(String(variable.args), whole.size));
    return { steps: 1 + whole.steps + within.steps, size: within.size };
  }
  if (!MACROS.has(name)) return undefined;
  const over = costOf(receiver, bound);
  if (variable?.op !== 'id' || rest.length === 0) return UNBOUNDED;
  // Where the language does not know the type, a text may be gone over as well.
  const [times, item] = [over.size.list + over.size.text, larger(over.size.item ?? SMALL, textOf(over.size.text))];
  const parts = rest.map((part) => costOf(part, new Map(bound).set(String(variable.args), item)));
  const steps = 1 + over.steps + times * (8 + sum(parts));
  if (name === 'filter') return { steps, size: over.size };
  return { steps, size: name === 'map' ? listOf(times, parts.at(-1)?.size ?? SMALL) : SMALL };
}

const MACROS: ReadonlySet<string> = new Set(['all', 'exists', 'exists_one', 'map', 'filter']);

function ofFunction(name: string, receiver: Part | undefined, given: readonly Part[], bound: Bound): Cost {
  const args = [...(receiver ? [receiver] : []), ...given];
  const costs = args.map((part) => costOf(part, bound));
  const [first = SMALL, second = SMALL] = costs.map(({ size }) => size);
  const steps = 1 + sum(costs);
  // Looked up in tables of the system where they are not seen at load.
  const literal = given.at(-1)?.op === 'value';
  switch (name) {
    case 'has':
    case 'dyn':
    case 'type':
      return { steps: steps + 5, size: first };
    case 'size':
      return { steps: steps + first.text / 4, size: SMALL };
    case 'startsWith':
    case 'endsWith':
      return { steps: steps + second.text / 64, size: SMALL };
    case 'contains':
    case 'indexOf':
    case 'lastIndexOf':
      return { steps: steps + (first.text * Math.min(first.text, second.text)) / 64, size: SMALL };
    case 'lowerAscii':
    case 'upperAscii':
    case 'trim':
    case 'substring':
      return { steps: steps + first.text / 8, size: textOf(3 * first.text) };
    case 'split':
      return { steps: steps + first.text + 1, size: listOf(first.text + 1, textOf(first.text)) };
    case 'join': {
      const text = first.list * (second.text + (first.item?.text ?? 0));
      return { steps: steps + first.list + text / 8, size: textOf(text) };
    }
    case 'bool':
    case 'int':
    case 'uint':
    case 'double':
    case 'string':
      return { steps: steps + 2 + first.text / 8, size: larger(SHORT, textOf(first.text)) };
    case 'timestamp':
    case 'duration':
      return { steps: steps + 50 + first.text, size: SMALL };
    case 'inNetwork':
      return { steps: steps + (literal ? 100 : 500), size: SMALL };
    default:
      if (/^get[A-Z]/.test(name)) return { steps: steps + (given.length === 0 || literal ? 10 : 5000), size: SMALL };
      // Of bytes, and whatever else there is.
      return { steps: steps + 20 + 4 * costs.reduce((all, { size }) => all + whole(size), 0), size: ofAll(costs) };
  }
}

/** How many characters and elements there can be in all. */
function whole({ text, list, item }: Size): number {
  return text + list * (1 + (item ? whole(item) : 0));
}

/** Steps to compare a value of this size with another. */
function compared({ text, list, item }: Size): number {
  return text / 64 + list * (1 + (item ? compared(item) : 0));
}

function ofAll(costs: readonly Cost[]): Size {
  const most = 4 * costs.reduce((all, { size }) => all + whole(size), 0) + SHORT.text;
  return { text: most, list: most, item: textOf(most) };
}

function larger(a: Size, b: Size): Size {
  const item = a.item && b.item ? larger(a.item, b.item) : (a.item ?? b.item);
  return { text: Math.max(a.text, b.text), list: Math.max(a.list, b.list), item };
}

function largest(costs: readonly Cost[]): Size {
  return costs.reduce((most, { size }) => larger(most, size), SMALL);
}

function sum(costs: readonly Cost[]): number {
  return costs.reduce((all, { steps }) => all + steps, 0);
}
