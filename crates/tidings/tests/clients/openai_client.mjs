// The npm package `openai`: node openai_client.mjs BASE_URL [tools|long]
//
// It tells what the client makes of each kind of answer, with `tools` also of those that call one. With `long` it reads one
// long answer to its end, wherever that is.

import { long, model, prompt, tool } from './models.mjs';
import { load, report } from './support.mjs';

const [baseURL, mode] = process.argv.slice(2);
const { default: OpenAI } = await load('openai');
const client = new OpenAI({ baseURL, apiKey: process.env.KEY, maxRetries: 0 });
const ask = { model, seed: 7, temperature: 0, messages: [{ role: 'user', content: prompt }] };
const tools = { tools: [{ type: 'function', function: tool }], tool_choice: 'required', max_tokens: 256 };

async function streamed(request) {
  let [text, call, finish, chunks] = ['', '', undefined, 0];
  for await (const { choices } of await client.chat.completions.create({ ...ask, ...request, stream: true })) {
    const [choice] = choices;
    text += choice?.delta.content ?? '';
    call += choice?.delta.tool_calls?.[0].function.arguments ?? '';
    finish = choice?.finish_reason ?? finish;
    chunks += 1;
  }
  return [text, call, finish, chunks];
}

async function whole(request) {
  const { choices, usage } = await client.chat.completions.create({ ...ask, ...request });
  const [{ message, finish_reason: finish }] = choices;
  return [message.content, message.tool_calls?.[0].function, finish, usage.completion_tokens];
}

async function wrong(request) {
  const error = await client.chat.completions.create({ ...ask, messages: [{ role: 'nobody' }], ...request }).catch((error) => error);
  return [error.constructor.name, error.status, error.message];
}

async function read() {
  const { data, response } = await client.chat.completions.create({ ...ask, max_tokens: long, stream: true }).withResponse();
  report({ location: response.headers.get('location') });
  let chunks = 0;
  try {
    for await (const _ of data) {
      chunks += 1;
      if (chunks % 50 === 0) report({ chunks });
    }
    report({ ended: 'whole' });
  } catch (error) {
    report({ ended: error.constructor.name });
  }
}

if (mode === 'long') {
  await read();
} else {
  report({ whole: await whole({ max_tokens: 16 }) });
  report({ streamed: await streamed({ max_tokens: 16 }) });
  if (mode === 'tools') {
    report({ called: await whole(tools) });
    report({ called: await streamed(tools) });
  }
  report({ wrong: await wrong({}) });
  report({ wrong: await wrong({ stream: true }) });
  report({ models: (await client.models.list()).data.length });
}
