// What the clients for Node.js share. Each prints what it sees as lines of JSON, and ends with its standard input.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const packages = createRequire(join(process.env.TIDINGS_NODE_PACKAGES, 'package.json'));

export const load = (name) => import(pathToFileURL(packages.resolve(name)));

export async function launch(executablePath, ...more) {
  const { chromium } = await load('playwright-core').then((module) => module.default ?? module);
  return chromium.launch({
    executablePath,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...more,
    ],
  });
}

export const report = (seen) => process.stdout.write(`${JSON.stringify(seen)}\n`);

export const untilTold = () =>
  new Promise((resolve) => {
    process.stdin.on('end', resolve).resume();
  });

// Tells everything that an EventSource does. It is also sent to a browser as text, so it uses nothing from outside.
export function watch(source, types, report) {
  source.addEventListener('open', () => report({ kind: 'open' }));
  source.addEventListener('error', () => report({ kind: source.readyState === 2 ? 'closed' : 'cut' }));
  for (const type of types) {
    source.addEventListener(type, ({ data, lastEventId }) => report({ kind: 'event', type, data, id: lastEventId }));
  }
}
