// A program: what stands for the API server where that would be the slowest part. It answers everybody, over TLS, HTTP/2 and HTTP/1.1:
// a small object, a watch in which nothing happens, an exec that says as much as its command tells it to.
// The certificate's files are its arguments; it writes its port to stdout, and ends with its stdin.

import { readFileSync } from 'node:fs';
import { createSecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { serveExec } from './gateway_exec.ts';

const OBJECT = JSON.stringify({ kind: 'ConfigMap', apiVersion: 'v1', data: { text: 'x'.repeat(1000) } });
const EVENT = `${JSON.stringify({ type: 'ADDED', object: JSON.parse(OBJECT) })}\n`;

const [cert = '', key = ''] = process.argv.slice(2);
const server = createSecureServer({ cert: readFileSync(cert), key: readFileSync(key), allowHTTP1: true });
server.on('request', ({ url }, response) => {
  response.setHeader('content-type', 'application/json');
  if (/[?&]watch=/.test(url)) return void response.write(EVENT);
  // As API servers do where all of it is there at once.
  response.setHeader('content-length', OBJECT.length);
  response.end(OBJECT);
});
server.on('upgrade', ({ url = '' }, socket) => void serveExec(socket, url));
server.on('sessionError', () => undefined);
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
process.stdin.on('end', () => process.exit(0)).resume();
