// The commands and their flags, as a person types them.

import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../shared/duration.ts';
import { CurfewError, EXIT } from '../shared/errors.ts';
import type { Seconds } from '../shared/time.ts';
import { auditCommand } from './commands/audit.ts';
import { complete, SHELLS, type Shell, scriptFor } from './commands/completion.ts';
import { connectCommand } from './commands/connect.ts';
import { doctorCommand } from './commands/doctor.ts';
import { getToken } from './commands/get_token.ts';
import { loginCommand } from './commands/login.ts';
import { logoutCommand } from './commands/logout.ts';
import { endCommand, listCommand } from './commands/sessions.ts';
import { setupCommand } from './commands/setup.ts';
import { sshCommand, sshReadyCommand } from './commands/ssh.ts';
import { statusCommand } from './commands/status.ts';
import { targetsKnownHere } from './commands/targets_here.ts';
import type { Host } from './host/host.ts';
import { COMPLETE_COMMAND } from './host/launcher.ts';
import { EXEC_VERSIONS } from './warm/exec_info.ts';
import { brokerKey } from './warm/paths.ts';
import { FLOWS } from './warm/settings.ts';

const BROKER = ['--broker <url>', 'the broker; without it, the one set up last'] as const;
const CA_FILE = ['--ca-file <file>', "PEM certificates that are trusted beside the system's"] as const;
const ACCOUNT = ['--account <name>', 'the account there; without it, the first that you may have'] as const;
const MAX_AGE = ['--max-age <duration>', 'tightens max_age, as in 15m or 8h', duration] as const;

/** @returns the exit status. @throws CurfewError */
export async function runProgram(host: Host, words: readonly string[]): Promise<number> {
  let status: number = EXIT.done;
  const program = commands(host, (exit) => {
    status = exit;
  });
  if (words[0] === COMPLETE_COMMAND) {
    host.print(complete(program, words.slice(1), () => targetsKnownHere(host)));
    return EXIT.done;
  }
  if (words.length === 0) {
    host.print(program.helpInformation());
    return EXIT.done;
  }
  try {
    await program.parseAsync(words, { from: 'user' });
    return status;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return EXIT.done;
    const command = program.commands.find((candidate) => candidate.name() === words[0]);
    const hint = `see: kubectl curfew ${command ? `${command.name()} ` : ''}--help`;
    throw new CurfewError('usage', error.message.replace(/^error: /, ''), { hint });
  }
}

/** @param exit takes the status of a command that ends otherwise than with 0 or an error */
function commands(host: Host, exit: (status: number) => void): Command {
  const program = new Command('kubectl-curfew')
    .description('Kubernetes sessions that end on time: the plugin of kubectl, and your own session')
    .usage('<command>, also as: kubectl curfew <command>')
    .helpCommand(false)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({ writeOut: host.print, writeErr: () => undefined });

  const add: Add = (name, description) => program.command(name).description(description).allowExcessArguments(false);
  for (const addTo of [
    addSetup,
    addGetToken,
    addLogin,
    addLogout,
    addConnect,
    addSsh,
    addSessions,
    addStatus,
    addAudit,
    addDoctor,
    addCompletion,
  ])
    addTo(add, host, exit);
  return program;
}

/** Adds a command; its flags and what it does are said of what comes back. */
type Add = (name: string, description: string) => Command;

/** What `setup --output` has no use for. */
const APART = ['kubeconfig', 'remove', 'writeKuberc'];

function addSetup(add: Add, host: Host): void {
  add('setup', "read the broker's clusters into kubeconfig")
    .requiredOption('--broker <url>', 'the broker')
    .option('--cluster <name>', 'only this cluster; may be repeated', several, [])
    .option('--kubeconfig <file>', 'the file to write; without it, the one that kubectl config would write')
    .addOption(
      new Option('--exec-api-version <version>', 'v1beta1 also for kubectl before 1.22')
        .choices(EXEC_VERSIONS)
        .default('v1'),
    )
    .option(...CA_FILE)
    .option(...MAX_AGE)
    .option('--dry-run', 'only show what would change')
    .addOption(
      new Option('--output <file>', 'write another kubeconfig for itself, and touch nothing else').conflicts(APART),
    )
    .option('--ssh', 'also have plain ssh reach targets, by ~/.ssh/config')
    .option('--write-kuberc', 'have kuberc let kubectl run this plugin (kubectl 1.35 and later)')
    .addOption(new Option('--remove', 'take away what setup wrote for this broker').conflicts(['cluster', 'output']))
    .action((options) => setupCommand(host, { ...options, broker: brokerKey(options.broker) }));
}

function addGetToken(add: Add, host: Host): void {
  add('get-token', 'what kubectl runs: prints an ExecCredential')
    .requiredOption('--broker <url>', 'the broker')
    .requiredOption('--cluster <name>', 'the cluster')
    .option(...MAX_AGE)
    .option(...CA_FILE)
    .action(async ({ broker, cluster, maxAge, caFile }) => {
      const key = { broker: brokerKey(broker), cluster, max_age: maxAge };
      await getToken(host, { key, ca_file: caFile });
    });
}

function addLogin(add: Add, host: Host): void {
  add('login', 'log in again')
    .option(...BROKER)
    .option('--cluster <name>', 'for this cluster, with all that it requires')
    .addOption(new Option('--flow <flow>', 'how; without it, by what this terminal can do').choices(FLOWS))
    .option('--no-browser', 'only print the address')
    .option(...CA_FILE)
    .action((options) => loginCommand(host, options));
}

function addLogout(add: Add, host: Host): void {
  add('logout', 'end the session')
    .option(...BROKER)
    .option('--all', 'the sessions at all brokers')
    .option(...CA_FILE)
    .action((options) => logoutCommand(host, options));
}

function addConnect(add: Add, host: Host, exit: (status: number) => void): void {
  add('connect', 'open a way to a target: for a command, by stdin and stdout, or at a port')
    .argument('<target>', 'its name')
    .argument('[command...]', 'behind --: what is run, with its surroundings set')
    .option(...ACCOUNT)
    .addOption(new Option('--stdio', 'by stdin and stdout, as for a ProxyCommand').conflicts('listen'))
    .option('--listen <port>', 'at this port of 127.0.0.1, until Ctrl-C; 0: any', port)
    .option('--end-file <file>', 'with --stdio: gets why it ended, as JSON, in place of words on stderr')
    .option(...BROKER)
    .option(...CA_FILE)
    .action(async (target, command, options) => exit(await connectCommand(host, target, command, options)));
}

function addSsh(add: Add, host: Host, exit: (status: number) => void): void {
  add('ssh', "run ssh for a target, with the session's certificate")
    .argument('<target>', 'its name')
    .argument('[arguments...]', 'for ssh: its flags, and a command')
    .option(...ACCOUNT)
    .option(...BROKER)
    .option(...CA_FILE)
    .passThroughOptions()
    .action(async (target, words, options) => exit(await sshCommand(host, target, words, options)));
  add('ssh-ready', 'what ssh runs: makes ready what it needs for a target')
    .argument('<target>', 'its name')
    .option(...BROKER)
    .option(...CA_FILE)
    .action((target, options) => sshReadyCommand(host, target, options));
}

function addSessions(add: Add, host: Host): void {
  const sessions = add('sessions', 'your sessions at the broker, and those of others for administrators');
  sessions
    .command('list')
    .description('list active sessions')
    .allowExcessArguments(false)
    .option(...BROKER)
    .option('--all', "everybody's, for administrators")
    .addOption(new Option('-o, --output <format>', 'for programs').choices(['json']))
    .option(...CA_FILE)
    .action((options) => listCommand(host, options));
  sessions
    .command('end')
    .description('end sessions at once')
    .argument('[sid...]', 'their ids, from sessions list')
    .option(...BROKER)
    .option('--user <name>', 'all of this user; of others for administrators')
    .option('--all', "everybody's, your own last, for administrators")
    .option('--reason <text>', 'for the audit log')
    .option(...CA_FILE)
    .action((sids, options) => endCommand(host, sids, options));
}

function addStatus(add: Add, host: Host): void {
  add('status', 'show the session, and when which limit strikes')
    .option('--prompt', 'a segment for a shell prompt: who, which cluster, how long still')
    .addOption(new Option('-o, --output <format>', 'for programs').choices(['json']))
    .action((options) => statusCommand(host, options));
}

function addAudit(add: Add, host: Host, exit: (status: number) => void): void {
  add('audit', 'find what goes around sessions that end')
    .command('kubeconfig')
    .description('look for secrets without an end in kubeconfigs, and how to be rid of them')
    .argument('[file...]', 'kubeconfigs; without any, all that kubectl reads')
    .addOption(new Option('-o, --output <format>', 'for programs').choices(['json', 'sarif']))
    .option('--fix', 'replace entries by sessions, each after a question')
    .option('--yes', 'without the questions')
    .option(...BROKER)
    .action(async (files, options) => exit(await auditCommand(host, files, options)));
}

function addDoctor(add: Add, host: Host, exit: (status: number) => void): void {
  add('doctor', 'look at all that a call of kubectl needs, and say what to do')
    .option(...BROKER)
    .addOption(new Option('-o, --output <format>', 'for programs').choices(['json']))
    .action(async (options) => exit(await doctorCommand(host, options)));
}

function addCompletion(add: Add, host: Host): void {
  add('completion', 'print what has a shell complete commands and flags')
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .action((shell: Shell) => host.print(scriptFor(shell)));
}

function several(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

function port(text: string): number {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(number < 65_536)) throw new InvalidArgumentError('Expected a port, or 0 for any.');
  return number;
}

function duration(text: string): Seconds {
  const length = parseDuration(text);
  if (length === undefined) throw new InvalidArgumentError('Expected a duration such as 15m or 8h.');
  return length;
}
