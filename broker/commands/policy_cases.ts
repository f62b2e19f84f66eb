// `curfew-broker policy test`: a table of cases, facts in, verdict and reason out, decided as a login or renewal would be.

import { z } from 'zod';
import { formatPath, refused, sayIssue } from '../../serving/config/faults.ts';
import { parseYaml } from '../../serving/config/yaml.ts';
import { type FileReader, readRegularFile } from '../../serving/files/regular_file.ts';
import { decide, REASONS, type Verdict } from '../../shared/decide.ts';
import { formatDuration, parseDuration } from '../../shared/duration.ts';
import { EXIT } from '../../shared/errors.ts';
import type { Limits } from '../../shared/limits.ts';
import type { Target } from '../../shared/policy.ts';
import { plus, type Seconds, seconds } from '../../shared/time.ts';
import { sayUnknown } from '../config/faults.ts';
import { limits } from '../config/schema.ts';
import type { Config } from '../config/settings.ts';
import * as value from '../config/values.ts';
import { parseTime } from '../text/rfc3339.ts';
import { ASSUMED_ADDRESS, answerTo, type Question } from './policy_question.ts';

/** What a case may expect to be denied for. */
const DENIALS = [
  ...REASONS.filter((reason) => reason !== 'session_ended'),
  'groups',
  'not_admitted',
  'invalid_target',
  'rule_error',
] as const;

/** When nothing is said: noon (UTC) of a Thursday, so that a table comes out the same every day. */
const ASSUMED_TIME = '2026-01-01T12:00:00Z';

const length = value.leaf<Seconds>('a duration such as "899s", "0s" for none', (text) =>
  text === '0s' ? seconds(0) : parseDuration(text),
);
const texts = value.listOf('a list of texts', (text): text is string => typeof text === 'string' && text !== '', 0);

const expectation = z
  .strictObject({
    allow: value.leaf('true', (given) => (given === true ? true : undefined)).optional(),
    deny: value.oneOf(...DENIALS).optional(),
    ends_session: value.yesOrNo.optional(),
    segment: value.name.optional(),
    limits: limits.optional(),
  })
  .refine(({ allow, deny }) => (allow === undefined) !== (deny === undefined), {
    error: 'expected allow, {allow: true, ...} or {deny: REASON, ...}',
  });

const testCase = z
  .strictObject({
    name: value.text,
    user: value.text,
    groups: texts.optional(),
    acr: value.text.optional(),
    amr: texts.optional(),
    cluster: value.text.optional(),
    namespace: value.text.optional(),
    resource: value.text.optional(),
    target: value.text.optional(),
    account: value.text.optional(),
    address: value.ipAddress.optional(),
    login_address: value.ipAddress.optional(),
    user_agent: value.text.optional(),
    time: value.leaf<Seconds>('a time such as "2027-01-15T08:00:00Z"', parseTime).optional(),
    auth_age: length.optional(),
    idle: length.optional(),
    vouched_age: length.optional(),
    expect: z.preprocess((given) => (given === 'allow' ? { allow: true } : given), expectation),
  })
  .refine(({ auth_age = 0, idle = 0 }) => idle <= auth_age, { error: 'longer than auth_age', path: ['idle'] })
  .refine(({ auth_age = 0, vouched_age = 0 }) => vouched_age <= auth_age, {
    error: 'longer than auth_age',
    path: ['vouched_age'],
  })
  .refine(({ cluster, namespace, resource }) => cluster !== undefined || (namespace ?? resource) === undefined, {
    error: 'required where a namespace or resource is named',
    path: ['cluster'],
  })
  .refine(({ cluster, target }) => (cluster && target) === undefined, {
    error: 'not with cluster',
    path: ['target'],
  })
  .refine(({ target, account }) => target !== undefined || account === undefined, {
    error: 'required where an account is named',
    path: ['target'],
  });

const table = z.strictObject({ cases: z.array(testCase).min(1, { error: 'expected at least one case' }) });

export type Case = z.infer<typeof testCase>;

/** @throws CurfewError `configuration`, naming the file and all faults with their paths */
export async function loadCases(file: string, readFile: FileReader = readRegularFile): Promise<readonly Case[]> {
  const { text } = await readFile(file).catch((cause: unknown) => {
    throw refused(file, [cause instanceof Error ? cause.message : 'cannot be read']);
  });
  const yaml = parseYaml(text);
  if ('faults' in yaml) throw refused(file, yaml.faults);
  const parsed = table.safeParse(yaml.value, { reportInput: true });
  if (!parsed.success)
    throw refused(
      file,
      parsed.error.issues.flatMap((issue) => sayIssue(issue, [], sayUnknown)),
    );
  const { cases } = parsed.data;
  const names = cases.map(({ name }) => name);
  const twice = names.flatMap((name, i) =>
    names.indexOf(name) < i ? [`${formatPath(['cases', i, 'name'])}: is there twice`] : [],
  );
  if (twice.length > 0) throw refused(file, twice);
  return cases;
}

export interface Tested {
  /** One for each case that comes out otherwise, and the sum. */
  readonly lines: readonly string[];
  /** 0 when all come out as expected, else 78: the policy is not what the table says. */
  readonly exit: number;
}

export function testCases(config: Config, cases: readonly Case[]): Tested {
  const wrong = cases.flatMap((one) => {
    const outcome = outcomeOf(config, one);
    const { expected, found } = compare(one.expect, outcome);
    const rule = outcome.rule === undefined ? '' : ` (rule ${outcome.rule})`;
    return expected === found ? [] : [`${one.name}: expected ${expected}, found ${found}${rule}`];
  });
  const count = `${cases.length} case${cases.length === 1 ? '' : 's'}`;
  const sum = `${count}, ${cases.length - wrong.length} as expected, ${wrong.length} not`;
  return { lines: [...wrong, sum], exit: wrong.length === 0 ? EXIT.done : EXIT.configuration };
}

/** What came of a case, with what is known beside the verdict. */
interface CaseResult {
  readonly deny?: string | undefined;
  readonly ends_session?: boolean | undefined;
  readonly segment?: string | undefined;
  readonly limits?: Limits | undefined;
  /** The rule that could not be evaluated. */
  readonly rule?: string | undefined;
}

function outcomeOf(config: Config, given: Case): CaseResult {
  const question = questionOf(given);
  const answer = answerTo(config, question);
  if ('refused' in answer) return { deny: answer.refused, ends_session: false, rule: answer.rule };
  const { session, target, segment } = answer.limits;
  const ago = (length = 0) => seconds(Math.max(0, question.time - length));
  const auth_time = ago(given.auth_age);
  const facts = {
    auth_time,
    last_used: ago(given.idle),
    revalidated_at: given.vouched_age === undefined ? auth_time : ago(given.vouched_age),
    end_at_most: plus(auth_time, session.max_age),
    acr: given.acr,
  };
  const verdict: Verdict = decide(answer.limits, facts, question.time);
  if (verdict.allow) return { ends_session: false, segment, limits: target };
  return { deny: verdict.reason, ends_session: verdict.ends !== undefined, segment, limits: target };
}

function questionOf(given: Case): Question {
  const { user, groups = [], acr, amr = [], user_agent, time } = given;
  const { address = ASSUMED_ADDRESS, login_address = address } = given;
  return {
    user: { name: user, groups, acr, amr },
    target: targetOf(given),
    ...{ address, login_address, user_agent },
    time: time ?? parseTime(ASSUMED_TIME) ?? seconds(0),
  };
}

function targetOf({ cluster, namespace, resource, target, account }: Case): Target {
  if (target !== undefined) return { target, ...(account !== undefined && { account }) };
  return {
    ...(cluster !== undefined && { cluster }),
    ...(namespace !== undefined && { namespace }),
    ...(resource !== undefined && { resource }),
  };
}

/** Both in words, of what is expected alone: they are equal when it is what was found. */
function compare(expect: Case['expect'], found: CaseResult): { readonly expected: string; readonly found: string } {
  const asked = Object.keys(expect.limits ?? {}) as (keyof Limits)[];
  const say = (outcome: CaseResult) =>
    [
      outcome.deny === undefined ? 'allow' : `deny ${outcome.deny}`,
      ...(expect.ends_session === undefined ? [] : [outcome.ends_session ? 'ends the session' : 'ends nothing']),
      ...(expect.segment === undefined ? [] : [`segment ${outcome.segment ?? 'none'}`]),
      ...asked.map((key) => `${key} ${sayLimit(outcome.limits?.[key])}`),
    ].join(', ');
  return { expected: say(expect), found: say(found) };
}

function sayLimit(limit: Seconds | readonly string[] | undefined): string {
  if (limit === undefined) return 'any';
  return typeof limit === 'number' ? formatDuration(limit) : [...limit].sort().join(' or ');
}
