// The npm package `eventsource`: node eventsource.mjs URL TYPE...

import { load, report, untilTold, watch } from './support.mjs';

const [url, ...types] = process.argv.slice(2);
const { EventSource } = await load('eventsource');
const source = new EventSource(url);
watch(source, types, report);
await untilTold();
source.close();
