// The screens as a page, with what differs from run to run made the same.

import { renderUnicodeCompact } from 'uqr';
import type { Screen } from './capture.ts';

const HEAD = `# What a person sees

The real programs at a real terminal, with a real kube-apiserver and identity provider: \`npm run screens\` makes this page anew. Names of
hosts and files, times, codes and the longest lines are made the same in each run; nothing else is.
`;

export function pageOf(screens: readonly Screen[], replace: readonly (readonly [string, string])[]): string {
  const parts = screens.map(({ title, says, lines }) => {
    const text = redrawn(lines.map((line) => steady(line, replace))).join('\n');
    return `## ${title}\n\n${says}\n\n\`\`\`text\n${text}\n\`\`\`\n`;
  });
  return [HEAD, ...parts].join('\n');
}

function steady(line: string, replace: readonly (readonly [string, string])[]): string {
  const named = replace.reduce((text, [from, to]) => text.replaceAll(from, to), line);
  return named
    .replace(/\?nonce=\S+/, '?nonce=…')
    .replace(/127\.0\.0\.1:\d+\/[\w-]{22}$/, '127.0.0.1:39045/zC3rXKdQ0mPVnYh1Tgw7Ug')
    .replace(/127\.0\.0\.1:\d+\/callback/, '127.0.0.1:50000/callback')
    .replace(/[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] waiting/, '⠋ waiting')
    .replace(/\b[23]m \d+s left/, '2m 58s left')
    .replace(/the code: [A-Z]{4}-[A-Z]{4}/, 'the code: WDJB-MJHT')
    .replace(/session [\w-]{22}/, 'session 4tNRfOrvPbG_L1pPq1ZI4g')
    .replace(/(\d{4}-\d\d-\d\d )?\b\d\d:\d\d\b/g, '14:05')
    .replace(/\(\d+s ago\)/, '(2s ago)')
    .replace(/until \d{4}-\d\d-\d\d \([^)]*\)/, 'until 2027-01-15 (7d)')
    .replace(/\(sha256 [0-9a-f]{16}\)/, '(sha256 6a0f9c3c2b1e4d57)')
    .replace(/^(\+ +"?)[0-9a-f]{64}("?)$/, '$1…$2')
    .replace(/within \d+s$/, 'within 0s')
    .replace(/\b(in|for) (7h 59m|8h)\b/g, '$1 7h 59m')
    .replace(/\bin 1[45]m\b/g, 'in 14m')
    .replace(/(@example\.com dev) 1[45]m$/, '$1 14m')
    .replace(/(Active +)\d+s$/, '$12m')
    .replace(/ {2,}(?=AGE$)/, '   ');
}

const ADDRESS = 'https://idp.example.com/device?user_code=WDJB-MJHT';

/** The drawing of the address that stands on this page, in place of the one that was on the screen. */
function redrawn(lines: readonly string[]): readonly string[] {
  const isDrawing = (line: string) => /^[█▀▄ ]{20,}$/.test(line);
  const first = lines.findIndex(isDrawing);
  if (first < 0) return lines;
  const drawing = renderUnicodeCompact(ADDRESS, { border: 2 }).split('\n');
  return [...lines.slice(0, first), ...drawing, ...lines.slice(first).filter((line) => !isDrawing(line))];
}
