// `curfew-broker policy`, as it is typed.

import type { Command } from 'commander';
import type { Clock } from '../../shared/time.ts';
import { type ConfigSources, loadConfig } from '../config/load.ts';
import { loadCases, testCases } from './policy_cases.ts';
import { explainPolicy } from './policy_explain.ts';
import { parseQuestion, type TypedQuestion } from './policy_question.ts';

export interface PolicyTerminal extends Pick<ConfigSources, 'env'> {
  readonly now: Clock;
  readonly print: (lines: readonly string[]) => void;
  readonly exit: (status: number) => void;
}

interface Typed {
  readonly config: string;
}

const CONFIG = ['--config <file>', 'the configuration'] as const;

export function addPolicy(root: Command, { env, now, print, exit }: PolicyTerminal): void {
  const policy = root.command('policy').description('ask the policy of a configuration');
  policy
    .command('explain')
    .description('say which parts of the policy hold for a person, and where each limit comes from')
    .requiredOption(...CONFIG)
    .requiredOption('--user <name>', "the person's name, as the identity provider gives it")
    .requiredOption('--groups <list>', 'their groups, likewise, with commas between')
    .option('--cluster <name>', "the cluster's name")
    .option('--namespace <name>', "a namespace of it, '*' for all")
    .option('--resource <name>', "a resource such as pods or pods/exec, '*' for all")
    .option('--target <name>', "the target's name, where it is about none of the clusters")
    .option('--account <name>', 'as whom there; without it the first account that is theirs')
    .option('--acr <value>', 'how strongly they logged in')
    .option('--amr <list>', 'by which means, with commas between')
    .option('--address <ip>', 'where they are, at login and now')
    .option('--time <time>', 'when, such as 2027-01-15T08:00:00Z')
    .action(async ({ config, ...typed }: Typed & TypedQuestion) => {
      const question = parseQuestion(typed, now());
      print(explainPolicy(await loadConfig(config, { env }), question));
    });
  policy
    .command('test')
    .description('decide a table of cases, and say which come out otherwise than expected')
    .argument('<cases>', 'the table, a YAML file')
    .requiredOption(...CONFIG)
    .action(async (cases: string, { config }: Typed) => {
      const { lines, exit: status } = testCases(await loadConfig(config, { env }), await loadCases(cases));
      print(lines);
      exit(status);
    });
}
