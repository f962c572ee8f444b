// The npm package `@anthropic-ai/sdk`: node anthropic_client.mjs BASE_URL
//
// It tells what the client makes of each kind of answer.

import { model, prompt, tool } from './models.mjs';
import { load, report } from './support.mjs';

const [baseURL] = process.argv.slice(2);
const { default: Anthropic } = await load('@anthropic-ai/sdk');
const client = new Anthropic({ baseURL, apiKey: process.env.KEY, maxRetries: 0 });
const ask = { model, max_tokens: 16, temperature: 0, messages: [{ role: 'user', content: prompt }] };
const { name, description, parameters } = tool;
const tools = { tools: [{ name, description, input_schema: parameters }], tool_choice: { type: 'any' }, max_tokens: 256 };
const told = ({ content, stop_reason }) => [content.map(({ type, text, name, input }) => ({ type, text, name, input })), stop_reason];

report({ whole: told(await client.messages.create(ask)) });
const stream = client.messages.stream(ask);
let [deltas, text] = [0, ''];
stream.on('text', (delta) => {
  deltas += 1;
  text += delta;
});
report({ streamed: [...told(await stream.finalMessage()), deltas, text] });
report({ called: told(await client.messages.create({ ...ask, ...tools })) });
report({ called: told(await client.messages.stream({ ...ask, ...tools }).finalMessage()) });
for (const stream of [false, true]) {
  const wrong = await client.messages.create({ ...ask, messages: 'nonsense', stream }).catch((error) => error);
  report({ wrong: [wrong.constructor.name, wrong.status, wrong.message] });
}
