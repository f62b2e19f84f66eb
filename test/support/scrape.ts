// Reads /metrics over real HTTP, as Prometheus does.

export interface Scrape {
  readonly text: string;
  readonly content_type: string | null;
  /** Of the one sample with this name and these labels. @returns `undefined` when there is none */
  value(name: string, labels?: Readonly<Record<string, string>>): number | undefined;
  /** How much more than in an earlier one; what is new began at zero. */
  since(before: Scrape, name: string, labels?: Readonly<Record<string, string>>): number;
}

export async function scrape(url: string): Promise<Scrape> {
  const response = await fetch(url);
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${url} answered ${response.status}: ${text.slice(0, 200)}`);
  const samples = new Map(text.split('\n').flatMap(sampleOf));
  const value: Scrape['value'] = (name, labels = {}) => samples.get(keyOf(name, Object.entries(labels)));
  return {
    ...{ text, content_type: response.headers.get('content-type'), value },
    since: (before, name, labels) => (value(name, labels) ?? 0) - (before.value(name, labels) ?? 0),
  };
}

function sampleOf(line: string): [string, number][] {
  if (line === '' || line.startsWith('#')) return [];
  const [, name = '', labels = '', value = ''] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
  if (name === '') throw new Error(`not a sample: ${line}`);
  const pairs = [...labels.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', text = '']): [string, string] => [
    key,
    text,
  ]);
  return [[keyOf(name, pairs), Number(value)]];
}

function keyOf(name: string, labels: readonly (readonly [string, string])[]): string {
  return [name, ...labels.map(([key, value]) => `${key}=${value}`).sort()].join('\n');
}
