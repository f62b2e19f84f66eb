// A full-screen program as k9s is one: raw mode, the alternate screen, and a plugin that it calls with its own terminal as
// stdin and stderr, again and again, as client-go does. `node full_screen.ts TIMES COMMAND...`; draws `call N: EXIT`.
import { spawn } from 'node:child_process';
import { once } from 'node:events';

const [times = '1', command = '', ...args] = process.argv.slice(2);
process.stdin.setRawMode(true).resume();
process.stdout.write('\x1b[?1049h\x1b[2J\x1b[1;1H+--- full screen ---+');
for (let call = 1; call <= Number(times); call++) {
  const plugin = spawn(command, args, { stdio: ['inherit', 'pipe', 'inherit'] });
  const printed: Buffer[] = [];
  plugin.stdout.on('data', (data: Buffer) => printed.push(data));
  const [code, signal] = await once(plugin, 'close');
  process.stdout.write(`\x1b[${call + 2};1H| call ${call}: ${code ?? signal} ${Buffer.concat(printed).length}`);
}
process.stdout.write(`\x1b[${Number(times) + 3};1H+--- done ---+`);
// Its screen stays to be looked at, until a key or the end of the terminal.
await once(process.stdin, 'data');
process.exit();
