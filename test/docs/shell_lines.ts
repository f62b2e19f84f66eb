// Lines of shell in documents, taken apart into commands: no more of the language than documents use.

/** @returns the words of each command, in their order, quotes kept; without redirections, comments and assignments before a command */
export function commandsIn(block: string): string[][] {
  const text = block.replaceAll(/\\\n\s*/g, '');
  const tokens = /'[^']*'|"(?:\\.|[^"\\])*"|#[^\n]*|&&|\|\||<\(|>{1,2}|<|[|;()\n]|[^\S\n]+|[^\s'"|;()<>&]+/g;
  const commands: string[][] = [[]];
  let [word, skips] = ['', false];
  const endWord = () => {
    if (word !== '' && !skips && !(commands.at(-1)?.length === 0 && /^[A-Z_]+=/.test(word)))
      commands.at(-1)?.push(word);
    if (word !== '') skips = false;
    word = '';
  };
  for (const [token] of text.matchAll(tokens)) {
    if (/^\s+$/.test(token) && token !== '\n') endWord();
    else if (token.startsWith('#') && word === '') continue;
    else if (/^(>{1,2}|<)$/.test(token)) {
      endWord();
      skips = true;
    } else if (/^(&&|\|\||<\(|[|;()\n])$/.test(token)) {
      endWord();
      commands.push([]);
    } else word += token;
  }
  endWord();
  return commands.filter((words) => words.length > 0);
}
