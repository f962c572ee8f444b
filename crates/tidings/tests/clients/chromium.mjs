// Chromium's own EventSource: node chromium.mjs CHROMIUM URL TYPE...

import { launch, report, untilTold, watch } from './support.mjs';

const [executablePath, url, ...types] = process.argv.slice(2);
const browser = await launch(executablePath);
const page = await browser.newPage();
await page.exposeFunction('report', report);
// Any page of the hub will do: the script only has to be of the same origin.
await page.goto(new URL('/healthz', url).href);
await page.evaluate(`(${watch})(new EventSource(${JSON.stringify(url)}), ${JSON.stringify(types)}, report)`);
await untilTold();
await browser.close();
