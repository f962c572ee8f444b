// Many of Chromium's own EventSources and WebSockets at once: node chromium_http2.mjs CHROMIUM URL COUNT

import { launch, report, untilTold } from './support.mjs';

const [executablePath, url, count] = process.argv.slice(2);
const browser = await launch(executablePath);
// The certificate is of an authority that nobody knows.
const context = await browser.newContext({ ignoreHTTPSErrors: true });
const page = await context.newPage();
await page.exposeFunction('report', report);
await page.goto(new URL('/healthz', url).href);
await page.evaluate(
  async ([url, count]) => {
    const sources = Array.from({ length: count }, (_, number) => new EventSource(`${url}/${number}`));
    await Promise.all(sources.map((source) => new Promise((resolve) => (source.onopen = resolve))));
    const [navigation] = performance.getEntriesByType('navigation');
    report({ open: sources.length, protocol: navigation.nextHopProtocol });
    const got = sources.map((source) => new Promise((resolve) => (source.onmessage = ({ data }) => resolve(data))));
    for (let number = 0; number < count; number++) {
      await fetch(`${url}/${number}`, { method: 'POST', body: String(number) });
    }
    report({ got: await Promise.all(got) });

    const sockets = sources.map((_, number) => new WebSocket(`${url}/${number}`.replace('http', 'ws'), 'tidings.v1'));
    const told = sockets.map((socket) => new Promise((resolve) => (socket.onmessage = ({ data }) => resolve(JSON.parse(data).subscribed))));
    const heard = () => sockets.map((socket) => new Promise((resolve) => (socket.onmessage = ({ data }) => JSON.parse(data).topic && resolve(JSON.parse(data).data))));
    report({ subscribed: await Promise.all(told) });
    const events = heard();
    sockets.forEach((socket, number) => socket.send(JSON.stringify({ publish: { topic: `t/${number}`, data: `by ${number}` } })));
    report({ heard: await Promise.all(events) });
  },
  [url, Number(count)],
);
await untilTold();
await browser.close();
