// The condition of a rule: a CEL expression that gives true or false. Checked when the policy is loaded, so that little is
// left to go wrong when somebody waits: labels that are absent, and addresses that are none.

import { Environment } from '@marcbachmann/cel-js';
import { inNetwork, isNetwork } from '../net/network.ts';
import { mostSteps, type Part } from './cost.ts';
import { registerCluster, registerFacts, registerTarget, type Variables } from './facts.ts';
import { isZone, takesZone } from './moment.ts';

/** An expression that has been checked. */
export interface Condition {
  readonly text: string;
  /** It can then be evaluated for a cluster only. */
  readonly uses_cluster: boolean;
  /** It can then be evaluated for a target only. */
  readonly uses_target: boolean;
  /** Whether it looks at the person's groups. */
  readonly uses_groups: boolean;
  /** What evaluating it can take at most: some 50 ns each. */
  readonly most_steps: number;
  /** @throws Error when it cannot be evaluated for these facts */
  holds(variables: Variables): boolean;
}

const LONGEST = 10_000;
/** Some milliseconds of everybody's time. Once over 500 groups with 100 names to compare fits; each group with each does not. */
const MOST_STEPS = 500_000;
const OPTIONS = { limits: { maxAstNodes: 2000, maxDepth: 60 } };

function environment(): Environment {
  return registerFacts(new Environment(OPTIONS)).registerFunction('inNetwork(string, string): bool', inNetwork, {
    async: false,
  });
}

const ALONE = environment();
const WITH_CLUSTER = registerCluster(environment());
const WITH_TARGET = registerTarget(environment());
/** For what stands in an expression as a literal and can be tried at once. */
const LITERALS = new Environment(OPTIONS).registerVariable('text', 'string');

/** @returns the condition, or what is wrong with it in a few words */
export function parseCondition(text: string): Condition | string {
  if (text.length > LONGEST) return `longer than ${LONGEST} characters`;
  const alone = compile(ALONE, text);
  const with_cluster = typeof alone === 'string' ? compile(WITH_CLUSTER, text) : undefined;
  const with_target = typeof with_cluster === 'string' ? compile(WITH_TARGET, text) : undefined;
  const compiled = with_target ?? with_cluster ?? alone;
  if (typeof compiled === 'string') return whyNot(String(with_cluster), compiled);
  const { holds, uses_groups, most_steps } = compiled;
  return Object.freeze({
    text,
    uses_cluster: compiled === with_cluster,
    uses_target: compiled === with_target,
    uses_groups,
    most_steps,
    holds: (variables: Variables) => {
      const value: unknown = holds(variables);
      if (typeof value !== 'boolean') throw new TypeError('the condition is neither true nor false');
      return value;
    },
  });
}

/** Of what is wrong for a cluster and for a target the one that is meant. */
function whyNot(for_cluster: string, for_target: string): string {
  if (!for_cluster.startsWith('unknown variable: target')) return for_cluster;
  if (!for_target.startsWith('unknown variable: cluster')) return for_target;
  return 'it looks at cluster and at target: what is asked for is one of them';
}

interface Compiled {
  readonly holds: (variables: Variables) => unknown;
  readonly uses_groups: boolean;
  readonly most_steps: number;
}

function compile(language: Environment, text: string): Compiled | string {
  try {
    const program = language.parse(text);
    const { valid, type, error } = program.check();
    if (!valid) return sayError(error, text);
    if (type !== 'bool') return `it gives ${type}, not true or false`;
    const nodes = [...nodesOf(program.ast)];
    for (const node of nodes) {
      const fault = faultOf(node);
      if (fault !== undefined) return fault;
    }
    const most_steps = Math.ceil(mostSteps(program.ast as Part));
    // Also where it is no number.
    if (!(most_steps <= MOST_STEPS)) return sayTooMuch(most_steps);
    return { holds: program, uses_groups: nodes.some(isOfGroups), most_steps };
  } catch (error) {
    return sayError(error, text);
  }
}

function sayTooMuch(steps: number): string {
  const many = Number.isFinite(steps) ? `${steps.toExponential(0)} steps` : 'any number of steps';
  return `it can take ${many} for a person with 500 groups, more than ${MOST_STEPS}: go over user.groups once, not within itself`;
}

/** What the language's own check lets pass, though it can only go wrong, or go on for ever. */
function faultOf({ op, args }: Node): string | undefined {
  switch (op) {
    case 'id':
      return args === 'optional' ? 'unknown variable: optional' : undefined;
    case '[]': {
      const [whole, key] = args as [Node, Node];
      return whole.checkedType?.kind === 'message' && key.op !== 'value'
        ? 'a field is named as it is, as in user.name: only labels and lists take what is in brackets'
        : undefined;
    }
    case 'call': {
      const [name, given] = args as [string, Node[]];
      return faultOfCall(name, given);
    }
    case 'rcall': {
      const [name, receiver, given] = args as [string, Node, Node[]];
      return faultOfMethod(name, receiver, given);
    }
    default:
      return undefined;
  }
}

function faultOfCall(name: string, given: readonly Node[]): string | undefined {
  const [first, second] = given;
  switch (name) {
    case 'has':
      return first && isLabel(first)
        ? undefined
        : 'has() is for labels, as in has(cluster.labels.env): all else is always there, "" or [] where it is not known';
    case 'inNetwork': {
      const block = literalOf(second);
      return block === undefined || isNetwork(block)
        ? undefined
        : `inNetwork: expected a block such as "10.0.0.0/8" or an address, got ${JSON.stringify(block)}`;
    }
    case 'timestamp':
    case 'duration':
      return faultOfLiteral(name, literalOf(first));
    default:
      return undefined;
  }
}

function faultOfMethod(name: string, receiver: Node, given: readonly Node[]): string | undefined {
  if (name === 'matches') {
    // Regular expressions here backtrack, and what they are held against is written by whoever asks.
    return 'matches() is not available, as its time has no bound: use ==, in, startsWith(), endsWith(), contains() or inNetwork()';
  }
  if (name === 'json') return 'json() is not available: nothing that a rule sees is JSON';
  if (!takesZone(name) || given.length !== 1) return undefined;
  if (receiver.checkedType?.name !== 'Time') return `${name}() takes a zone on request.time only`;
  const zone = literalOf(given[0]);
  return zone === undefined || isZone(zone) ? undefined : `${name}: there is no time zone ${JSON.stringify(zone)}`;
}

function faultOfLiteral(name: 'timestamp' | 'duration', text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    LITERALS.evaluate(`${name}(text)`, { text });
    return undefined;
  } catch {
    return `${name}: cannot be read: ${JSON.stringify(text)}`;
  }
}

function literalOf(node: Node | undefined): string | undefined {
  return node?.op === 'value' && typeof node.args === 'string' ? node.args : undefined;
}

function isLabel({ op, args }: Node): boolean {
  if (op !== '.') return false;
  const [labels] = args as [Node, string];
  if (labels.op !== '.') return false;
  const [cluster, field] = labels.args as [Node, string];
  return cluster.op === 'id' && cluster.args === 'cluster' && field === 'labels';
}

/** Any way to name a field `groups`, whatever it is a field of: a look too many only refuses somebody without groups. */
function isOfGroups(node: Node): boolean {
  if (!Array.isArray(node.args) || isLabel(node)) return false;
  const [, name] = node.args as [unknown, unknown];
  return name === 'groups' || (node.op.startsWith('[') && literalOf(name as Node | undefined) === 'groups');
}

/** A part of an expression, with what the check found out about it. */
interface Node {
  readonly op: string;
  readonly args: unknown;
  readonly checkedType?: { readonly kind: string; readonly name: string };
}

function* nodesOf(part: unknown): Generator<Node> {
  if (Array.isArray(part)) for (const inner of part) yield* nodesOf(inner);
  else if (typeof part === 'object' && part !== null && 'op' in part && 'args' in part) {
    yield part as Node;
    yield* nodesOf(part.args);
  }
}

interface CelFault {
  readonly code?: string;
  readonly summary?: string;
  readonly range?: { readonly start: number };
  readonly node?: { readonly start: number; readonly end: number };
}

/** Names what is not known; else the language's own words, and where. */
function sayError(error: unknown, text: string): string {
  const { code, summary = 'not an expression', range, node } = error as CelFault;
  const part = node && text.slice(node.start, node.end);
  if (code === 'unknown_variable') {
    return `unknown variable: ${part} (there are user, request, session, cluster and target)`;
  }
  if (code === 'no_such_key') return `unknown field: ${part}`;
  const words = summary.split('\n', 1)[0]?.slice(0, 200) ?? '';
  return `${words.slice(0, 1).toLowerCase()}${words.slice(1)}${range ? ` (at character ${range.start + 1})` : ''}`;
}
