// Rows of the audit log as a service prints them: one JSON object a line.

import { visibleJson } from '../text/names.ts';
import type { AuditEntry } from './events.ts';

/** @returns what is told each row. Those of one commit are printed in one piece, and before anything of it is answered */
export function printRows(print: (text: string) => void): (entry: AuditEntry) => void {
  let lines = '';
  const printAll = () => {
    print(lines);
    lines = '';
  };
  return ({ event, ...link }) => {
    if (lines === '') queueMicrotask(printAll);
    lines += `${visibleJson(JSON.stringify({ ...event, ...link }))}\n`;
  };
}
