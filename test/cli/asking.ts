// Asks a broker once, in a process that can be stopped: prints what came of it. usage: asking metadata|renew URL

import { createBroker } from '../../cli/wire/broker.ts';
import { generateKey } from '../../cli/wire/dpop.ts';
import { createSend } from '../../cli/wire/http.ts';
import { CurfewError } from '../../shared/errors.ts';
import { testHost } from './host.ts';

const [what, url = ''] = process.argv.slice(2);
const host = testHost();
const broker = createBroker(url, createSend(host), host);
const endpoints = { token_endpoint: `${url}/token`, revocation_endpoint: `${url}/revoke` };
try {
  if (what === 'metadata') await broker.metadata(500);
  else await broker.renew(endpoints, generateKey(), { handle: 'handle', audience: 'dev' });
  console.log('answered');
} catch (error) {
  console.log(error instanceof CurfewError ? `${error.code}: ${error.message}` : String(error));
}
