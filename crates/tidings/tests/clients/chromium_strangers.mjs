// Pages of other names and origins that would use a hub on this machine: node chromium_strangers.mjs CHROMIUM URL

import { createServer } from 'node:http';

import { launch, report, untilTold } from './support.mjs';

const [executablePath, url] = process.argv.slice(2);
const { port } = new URL(url);
const browser = await launch(executablePath, '--host-resolver-rules=MAP evil.example 127.0.0.1');
const page = await browser.newPage();

// What a page gets of the hub: the status, or `opaque` where the browser keeps the answer from it, or that it fails.
const ask = ([target, init]) =>
  fetch(target, init).then(
    ({ status, type }) => (type === 'opaque' ? type : status),
    () => 'failed',
  );

// A name that its owner has lead to this machine, once the page is there. Its page is the hub's own, as browsers see it.
const evil = `http://evil.example:${port}`;
const opened = await page.goto(`${evil}/`);
report({ page: opened.status() });
for (const init of [{}, { method: 'POST', body: 'x' }, { method: 'POST', body: 'x', mode: 'no-cors' }]) {
  report({ rebound: await page.evaluate(ask, [`${evil}/topics/a`, init]) });
}

// A page of another port of the same machine.
const other = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<p>'));
await new Promise((resolve) => other.listen(0, '127.0.0.1', resolve));
await page.goto(`http://localhost:${other.address().port}/`);
for (const host of ['localhost', '127.0.0.1']) {
  for (const path of ['/topics/a', '/topics/a?close=true', '/events']) {
    const init = { method: 'POST', body: 'x', mode: 'no-cors' };
    report({ port: await page.evaluate(ask, [`http://${host}:${port}${path}`, init]) });
  }
}
// A form needs no script, and a page in a frame without rights has no origin.
await page.setContent(`<form method="post" action="http://localhost:${port}/topics/a" enctype="text/plain">
  <input name="x" value="y"></form>`);
const [posted] = await Promise.all([page.waitForNavigation(), page.evaluate('document.forms[0].submit()')]);
report({ form: posted.status() });

// The hub's own page may.
await page.goto(`${url}/healthz`);
report({ own: await page.evaluate(ask, [`${url}/topics/a`, { method: 'POST', body: 'x' }]) });
await untilTold();
other.close();
await browser.close();
