"""PyPI's openai: openai_client.py BASE_URL [tools]

It tells what the client makes of each kind of answer, as lines of JSON.
"""

import json
import os
import sys

from openai import APIStatusError, OpenAI

client = OpenAI(base_url=sys.argv[1], api_key=os.environ["KEY"], max_retries=0)
ask = {"model": os.environ["MODEL"], "seed": 7, "temperature": 0, "messages": [{"role": "user", "content": "Say something."}]}
state = {"type": "string", "enum": ["on", "off"]}
parameters = {"type": "object", "properties": {"state": state}, "required": ["state"], "additionalProperties": False}
tools = {
    "tools": [{"type": "function", "function": {"name": "switch_light", "parameters": parameters}}],
    "tool_choice": "required",
}


def report(**seen):
    print(json.dumps(seen), flush=True)


def streamed(**request):
    text, call, finish, chunks = "", "", None, 0
    for chunk in client.chat.completions.create(stream=True, **request):
        chunks += 1
        for choice in chunk.choices:
            text += choice.delta.content or ""
            call += (choice.delta.tool_calls or [])[0].function.arguments or "" if choice.delta.tool_calls else ""
            finish = choice.finish_reason or finish
    return [text, call, finish, chunks]


def wrong(**request):
    try:
        client.chat.completions.create(**{**ask, "messages": [{"role": "nobody"}]}, **request)
    except APIStatusError as error:
        return [type(error).__name__, error.status_code, error.message]
    return None


whole = client.chat.completions.create(**ask, max_tokens=16)
report(whole=[whole.choices[0].message.content, whole.choices[0].finish_reason])
report(streamed=streamed(**ask, max_tokens=16))
if "tools" in sys.argv:
    called = client.chat.completions.create(**ask, **tools, max_tokens=256)
    report(called=called.choices[0].message.tool_calls[0].function.arguments)
    report(called=streamed(**ask, **tools, max_tokens=256))
report(wrong=wrong())
report(wrong=wrong(stream=True))
