// YAML 1.2 text to plain data: one document, no duplicate keys, no unknown tags. Faults name line and column, and quote nothing.

import { LineCounter, parseDocument } from 'yaml';

export type Yaml = { readonly value: unknown } | { readonly faults: readonly string[] };

export function parseYaml(text: string): Yaml {
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false, stringKeys: true });
  const faults = [...document.errors, ...document.warnings].map(({ pos, message }) => {
    const { line, col } = lineCounter.linePos(pos[0]);
    return `line ${line}, column ${col}: ${oneLine(message)}`;
  });
  if (faults.length > 0) return { faults };
  try {
    return { value: document.toJS({ maxAliasCount: 100 }) };
  } catch (error) {
    return { faults: [`not usable as YAML: ${oneLine(error instanceof Error ? error.message : '')}`] };
  }
}

function oneLine(message: string): string {
  return message.replaceAll(/\s+/g, ' ').trim().slice(0, 200);
}
