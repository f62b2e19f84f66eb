// The pages that the browser shows at the end of a login: plain, nothing loaded from anywhere, everything escaped.

const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1.5em;color:#1b1f24;background:#fff}' +
  'h1{font-size:1.4em}p{margin:.6em 0}@media(prefers-color-scheme:dark){body{color:#e6e8eb;background:#16181c}}';

/** @param lines sentences, as plain text */
export function page(title: string, lines: readonly string[]): string {
  const body = lines.map((line) => `<p>${escapeHtml(line)}</p>`).join('\n');
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>curfew: ${escapeHtml(title)}</title><style>${STYLE}</style></head>
<body>
<h1>${escapeHtml(title)}</h1>
${body}
</body>
</html>
`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
