// Completion at a TAB: which words can come next, by the commands themselves; and what has a shell ask for them.

import type { Command, Option } from 'commander';
import { COMPLETE_COMMAND } from '../host/launcher.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** As cobra has it, which is what kubectl reads (ShellCompDirective): files may come there, or nothing else than what is said. */
const FILES = ':0';
const NO_FILES = ':4';

/** Flags of which the value is a file. */
const OF_FILES = ['--kubeconfig', '--ca-file'] as const;

/** A target that is known here, without asking anybody. */
export interface KnownTarget {
  readonly name: string;
  readonly kind: string;
  /** Which the person had there. */
  readonly accounts: readonly string[];
}

/** @returns a line for each word that can come, with what it does behind a TAB, and how to go on */
export function complete(
  program: Command,
  words: readonly string[],
  targets: () => readonly KnownTarget[] = () => [],
): string {
  const before = words.slice(0, -1);
  const begun = words.at(-1) ?? '';
  let command = program;
  let wanting: Option | undefined;
  const given: string[] = [];
  for (const word of before) {
    if (wanting) wanting = undefined;
    else if (word.startsWith('-')) wanting = word.includes('=') ? undefined : withValue(command, word);
    else {
      const next = command.commands.find((one) => one.name() === word);
      if (next) command = next;
      else given.push(word);
    }
  }
  if (wanting?.long === '--account') return sayAccounts(targets(), given[0], begun);
  if (wanting) return valuesOf(wanting, begun);
  if (command.registeredArguments[0]?.name() === 'target' && !begun.startsWith('-'))
    return given.length === 0 ? sayTargets(targets(), command.name(), begun) : `${FILES}\n`;
  if (begun.startsWith('-')) {
    const flags = command.options.filter(({ long }) => !before.includes(long ?? ''));
    return say([...flags.map(({ long, description }) => [long ?? '', description] as const), HELP], begun, NO_FILES);
  }
  const [argument] = command.registeredArguments;
  if (argument?.argChoices)
    return say(
      argument.argChoices.map((one) => [one, ''] as const),
      begun,
      NO_FILES,
    );
  if (argument?.name() === 'file') return `${FILES}\n`;
  return say(
    command.commands.map((one) => [one.name(), one.description()] as const),
    begun,
    NO_FILES,
  );
}

function sayTargets(targets: readonly KnownTarget[], command: string, begun: string): string {
  const fit = targets.filter(({ kind }) => command === 'connect' || kind === 'ssh');
  return say(
    fit.map(({ name, kind }) => [name, kind] as const),
    begun,
    NO_FILES,
  );
}

/** @param name of the target; before it is typed, those of all */
function sayAccounts(targets: readonly KnownTarget[], name: string | undefined, begun: string): string {
  const of = targets.filter((target) => name === undefined || target.name === name);
  const accounts = [...new Set(of.flatMap((target) => target.accounts))].sort();
  return say(
    accounts.map((account) => [account, ''] as const),
    begun,
    NO_FILES,
  );
}

const HELP = ['--help', 'show help'] as const;

function withValue({ options }: Command, word: string): Option | undefined {
  return options.find((option) => (option.long === word || option.short === word) && option.required);
}

function valuesOf({ long, argChoices }: Option, begun: string): string {
  if (OF_FILES.some((flag) => flag === long)) return `${FILES}\n`;
  return say(
    (argChoices ?? []).map((one) => [one, ''] as const),
    begun,
    NO_FILES,
  );
}

function say(words: readonly (readonly [string, string])[], begun: string, directive: string): string {
  const lines = words.flatMap(([word, does]) => {
    if (word === '' || !word.startsWith(begun)) return [];
    return [does === '' ? word : `${word}\t${does}`];
  });
  return `${[...lines, directive].join('\n')}\n`;
}

/** What a shell reads at its start, or once: `source <(kubectl-curfew completion bash)`. */
export function scriptFor(shell: Shell): string {
  switch (shell) {
    case 'bash':
      return BASH;
    case 'zsh':
      return ZSH;
    case 'fish':
      return FISH;
  }
}

const BASH = `# completion of kubectl-curfew for bash
_kubectl_curfew() {
  local line word
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :0) compopt -o default ;;
      :*) ;;
      *) COMPREPLY+=("\${line%%$'\\t'*}") ;;
    esac
  done < <(kubectl-curfew ${COMPLETE_COMMAND} "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _kubectl_curfew kubectl-curfew
`;

const ZSH = `#compdef kubectl-curfew
# completion of kubectl-curfew for zsh
_kubectl_curfew() {
  local line files=0
  local -a found
  for line in "\${(@f)$(kubectl-curfew ${COMPLETE_COMMAND} "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    case $line in
      :0) files=1 ;;
      :*|'') ;;
      *) found+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}") ;;
    esac
  done
  (( \${#found} )) && _describe -V 'kubectl-curfew' found
  (( files )) && _files
}
if [ "\${funcstack[1]}" = "_kubectl_curfew" ]; then _kubectl_curfew; else compdef _kubectl_curfew kubectl-curfew; fi
`;

const FISH = `# completion of kubectl-curfew for fish
function __kubectl_curfew_complete
  set -l words (commandline -opc)
  set -e words[1]
  for line in (kubectl-curfew ${COMPLETE_COMMAND} $words (commandline -ct) 2>/dev/null)
    switch $line
      case ':0'
        __fish_complete_path (commandline -ct)
      case ':*'
      case '*'
        echo $line
    end
  end
end
complete -c kubectl-curfew -f -a '(__kubectl_curfew_complete)'
`;
