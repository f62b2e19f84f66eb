// `npm run bench`: runs what is asked for, or all, and prints the figures; progress goes to stderr.

import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { BENCHES } from './benches.ts';
import { type Bench, type Figure, resultOf, type Settings, sayAim, table } from './figure.ts';

const say = (line: string) => void process.stderr.write(`bench: ${line}\n`);

const OPTIONS = {
  json: { type: 'boolean', default: false },
  quick: { type: 'boolean', default: false },
  profile: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

function help(): string {
  const figures = BENCHES.flatMap((bench) => bench.figures);
  const width = Math.max(...figures.map(({ name }) => name.length));
  const lines = figures.map(
    ({ name, says, aim }) => `  ${name.padEnd(width)}  ${says}${aim ? ` (aim ${sayAim(aim)})` : ''}`,
  );
  return [
    'npm run bench [-- [--json] [--quick] [--profile FOLDER] [NAME...]]',
    '',
    'NAME is a figure, or the beginning of some up to a dot; without one all are measured:',
    ...lines,
    '',
    '  --json            one object a line',
    '  --quick           few and short runs: shows that all works, the figures mean nothing',
    '  --profile FOLDER  profile the broker where renewals are measured with 1,000 sessions, and the gateway; a name for each',
    '',
  ].join('\n');
}

/** A figure is chosen by its name, or by the beginning of it up to a dot. */
function isChosen({ name }: Figure, names: readonly string[]): boolean {
  return names.length === 0 || names.some((asked) => name === asked || name.startsWith(`${asked}.`));
}

/** Names that choose nothing. */
function unknownIn(names: readonly string[]): string[] {
  const figures = BENCHES.flatMap((bench) => bench.figures);
  return names.filter((asked) => !figures.some((figure) => isChosen(figure, [asked])));
}

function parse() {
  try {
    return parseArgs({ options: OPTIONS, allowPositionals: true });
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function main(): Promise<number> {
  const asked = parse();
  if (typeof asked === 'string') {
    say(`error: ${asked}`);
    say('hint: see npm run bench -- --help');
    return 64;
  }
  const { values, positionals: names } = asked;
  if (values.help) {
    process.stdout.write(help());
    return 0;
  }
  const unknown = unknownIn(names);
  if (unknown.length > 0) {
    say(`error: there is no ${unknown.join(', ')}`);
    say(`hint: there are: ${BENCHES.flatMap(({ figures }) => figures.map(({ name }) => name)).join(' ')}`);
    return 64;
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'curfew-bench-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const settings = { folder, quick: values.quick, profile: values.profile, log: say };
  say(`${availableParallelism()} cores, load before: ${loadavg()[0]?.toFixed(2)}, Node ${process.version}`);
  await run(BENCHES, names, settings, values.json);
  return 0;
}

async function run(
  benches: readonly Bench[],
  names: readonly string[],
  settings: Settings,
  json: boolean,
): Promise<void> {
  const rows: { figure: Figure; value: number }[] = [];
  for (const bench of benches) {
    const chosen = bench.figures.filter((figure) => isChosen(figure, names));
    if (chosen.length === 0) continue;
    say(`measuring ${chosen.map(({ name }) => name).join(' ')}`);
    const values = await bench.run(settings);
    for (const figure of chosen) {
      const value = values[figure.name];
      if (value === undefined || !Number.isFinite(value)) throw new TypeError(`${figure.name} was not measured`);
      rows.push({ figure, value });
      if (json) process.stdout.write(`${JSON.stringify(resultOf(figure, value))}\n`);
    }
  }
  if (!json) process.stdout.write(table(rows));
}

// Exit handlers end what was started and remove the folder.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

main()
  .then((code) => process.exit(code))
  .catch((error: unknown) => {
    say(`error: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  });
