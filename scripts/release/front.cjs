#!/usr/bin/env node
// Where the npm packages begin. Must be understood by every Node.js from 20.18 on: one that is too old for the program starts the one
// that comes with the package.

'use strict';

const NEEDED = [24, 15];
const program = require.resolve('../dist/PROGRAM.cjs');
const [major, minor] = process.versions.node.split('.').map(Number);

if (major > NEEDED[0] || (major === NEEDED[0] && minor >= NEEDED[1])) {
  process.argv[1] = program;
  require(program);
} else become(ownNode());

function ownNode() {
  try {
    return require.resolve(`curfew-node-${process.platform}-${process.arch}/node`);
  } catch {
    return undefined;
  }
}

function become(node) {
  if (node === undefined) {
    const own = `Node.js ${process.version} at ${process.execPath} is too old`;
    process.stderr.write(`curfew: error: ${own}: ${NEEDED.join('.')} or later is needed\n`);
    process.stderr.write('curfew: hint: install a newer Node.js, or this package again without --omit=optional\n');
    process.exitCode = 78;
    return;
  }
  const words = [program, ...process.argv.slice(2)];
  const { NODE_OPTIONS: _, NODE_PATH: __, ...env } = process.env;
  const child = require('node:child_process').spawn(node, words, { env, stdio: 'inherit' });
  // A terminal sends these to both; whoever sends one to us alone means the program.
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  process.on('SIGINT', () => undefined);
  child.on('error', (error) => {
    process.stderr.write(`curfew: error: ${node} cannot be started (${error.code})\n`);
    process.exitCode = 78;
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exitCode = code;
    else {
      for (const name of ['SIGTERM', 'SIGHUP', 'SIGINT']) process.removeAllListeners(name);
      process.kill(process.pid, signal);
    }
  });
}
