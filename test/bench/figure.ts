// What a benchmark promises and yields: figures with a name, a unit and, where there is one, an aim.

export interface Figure {
  readonly name: string;
  readonly unit: string;
  readonly aim?: Aim;
  /** What is measured, in a few words. */
  readonly says: string;
}

export type Aim = { readonly at_least: number } | { readonly at_most: number };

/** One set-up that yields one or more figures. */
export interface Bench {
  readonly figures: readonly Figure[];
  /** @returns a value for the name of each of its figures */
  run(settings: Settings): Promise<Readonly<Record<string, number>>>;
}

export interface Settings {
  /** An empty folder on a real disk, removed at the end. */
  readonly folder: string;
  /** Few and short runs: shows that it works, and says nothing about speed. */
  readonly quick: boolean;
  /** Where the broker's CPU profiles go; without it there are none. */
  readonly profile?: string | undefined;
  /** Takes one line about what goes on. */
  readonly log: (line: string) => void;
}

export interface Result {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly aim: string | null;
  readonly command: string;
}

export function resultOf({ name, unit, aim }: Figure, value: number): Result {
  return { name, value: rounded(value), unit, aim: aim ? sayAim(aim) : null, command: `npm run bench -- ${name}` };
}

export function sayAim(aim: Aim): string {
  return 'at_least' in aim ? `>= ${aim.at_least}` : `<= ${aim.at_most}`;
}

export function isMet(aim: Aim, value: number): boolean {
  return 'at_least' in aim ? value >= aim.at_least : value <= aim.at_most;
}

/** A table for a person; `value` and `aim` to the right. */
export function table(rows: readonly { readonly figure: Figure; readonly value: number }[]): string {
  const cells = rows.map(({ figure: { name, unit, aim }, value }) => [
    name,
    `${rounded(value)}`,
    unit,
    aim ? sayAim(aim) : '',
    aim ? (isMet(aim, value) ? 'met' : 'NOT MET') : '',
  ]);
  const all = [['figure', 'value', 'unit', 'aim', ''], ...cells];
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row.map((cell, column) => (column === 1 ? cell.padStart(widths[1] ?? 0) : cell.padEnd(widths[column] ?? 0)));
  return all.map((row) => `${line(row).join('  ').trimEnd()}\n`).join('');
}

/** Digits beyond these are noise. */
function rounded(value: number): number {
  return value >= 1000 ? Math.round(value) : Number(value.toPrecision(4));
}
