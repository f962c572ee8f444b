"""llama.cpp's own server, as PyPI's xllamacpp has it, over a tiny model whose weights are random: llama_server.py FOLDER

It prints its address, and ends with its standard input.
"""

import os
import pathlib
import sys

import gguf
import numpy

import xllamacpp

# With tools as Qwen and Hermes have them.
TEMPLATE = r"""
{%- if tools %}
    {{- '<|im_start|>system\n# Tools\n<tools>' }}
    {%- for tool in tools %}
        {{- '\n' }}{{- tool | tojson }}
    {%- endfor %}
    {{- '\n</tools>\nReturn a json object within tags:\n<tool_call>\n' }}
    {{- '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role }}
    {%- if message.content %}{{- '\n' + message.content }}{%- endif %}
    {%- for tool_call in message.tool_calls or [] %}
        {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
        {{- '\n<tool_call>\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}
        {{- tool_call.arguments | tojson }}{{- '}\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
"""
WIDTH, HIDDEN, HEADS, LAYERS, CONTEXT = 32, 64, 2, 1, 32_768


def bytes_to_unicode():
    """How GPT-2 writes bytes as characters."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {**{byte: chr(byte) for byte in plain}, **{byte: chr(256 + n) for n, byte in enumerate(others)}}


def make(path):
    letters = list(bytes_to_unicode().values())
    tokens = [*letters, "he", "<|im_start|>", "<|im_end|>"]
    types = [gguf.TokenType.NORMAL] * (len(letters) + 1) + [gguf.TokenType.CONTROL] * 2
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(len(tokens) - 2)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    random = numpy.random.default_rng(7)

    def tensor(name, *shape):
        writer.add_tensor(name, random.normal(0, 0.5, shape).astype(numpy.float32))

    def ones(name, size):
        writer.add_tensor(name, numpy.ones(size, numpy.float32))

    tensor("token_embd.weight", len(tokens), WIDTH)
    for layer in range(LAYERS):
        ones(f"blk.{layer}.attn_norm.weight", WIDTH)
        ones(f"blk.{layer}.ffn_norm.weight", WIDTH)
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"]:
            tensor(f"blk.{layer}.{name}.weight", WIDTH, WIDTH)
        tensor(f"blk.{layer}.ffn_gate.weight", HIDDEN, WIDTH)
        tensor(f"blk.{layer}.ffn_up.weight", HIDDEN, WIDTH)
        tensor(f"blk.{layer}.ffn_down.weight", WIDTH, HIDDEN)
    ones("output_norm.weight", WIDTH)
    # It is to say what can be read, and nothing that ends its answer.
    output = random.normal(0, 0.5, (len(tokens), WIDTH)).astype(numpy.float32)
    for number, token in enumerate(tokens):
        if len(token) > 1 or not token.isascii():
            output[number] = 0
    writer.add_tensor("output.weight", output)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


folder = pathlib.Path(sys.argv[1])
model = folder / "tiny.gguf"
make(model)
params = xllamacpp.CommonParams()
params.model.path = str(model)
params.model_alias = {"tiny"}
params.hostnames = ["127.0.0.1"]
params.port = 0
params.n_ctx = CONTEXT
params.n_parallel = 1
params.use_jinja = True
params.warmup = False
params.sse_ping_interval = 1
params.cpuparams.n_threads = 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
os._exit(0)
