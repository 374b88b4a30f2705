"""Groq: https://console.groq.com/docs/api-reference."""

from datetime import date

from tidyllm.core.auth import Auth
from tidyllm.core.limits import BatchLimits
from tidyllm.core.rules import Family, Rule, Rules, refused, words
from tidyllm.dialects.json_schema.form import SchemaForm
from tidyllm.dialects.json_schema.takes import ANY, GROQ
from tidyllm.dialects.media import IMAGES_TAKEN
from tidyllm.dialects.openai.batch import Batches
from tidyllm.dialects.openai.chat import ChatCompletions
from tidyllm.dialects.openai.files import Files
from tidyllm.dialects.openai.models import Models
from tidyllm.provider import Provider

# https://console.groq.com/docs/openai lists what is not taken; spec/groq 2.
_RULES: Rules = {
    **refused("logprobs", why="No model here tells how likely its words were."),
    **refused("frequency_penalty", "presence_penalty", why="Groq does not support it yet: temperature= is nearest."),
    "effort": words("reasoning_effort", "none", "low", "medium", "high"),
    "thoughts": Rule(words={True: {"include_reasoning": True}, False: {"include_reasoning": False}}),
}

# https://console.groq.com/docs/reasoning: each family has words of its own; spec/groq 2c.
_FAMILIES = (
    Family(models=("openai/gpt-oss*",), rules={"effort": words("reasoning_effort", "low", "medium", "high")}),
    Family(
        models=("qwen/*",),
        rules={"thoughts": Rule(words={True: {}, False: {"reasoning_format": "hidden"}})},
        # Otherwise the thoughts stand in the text, between tags.
        sends={"reasoning_format": "parsed"},
    ),
    # It thinks or does not; how much cannot be said.
    Family(models=("qwen/qwen3.6*",), rules={"effort": words("reasoning_effort", "none")}),
)

# https://console.groq.com/docs/structured-outputs: not together with streaming; spec/groq 2b.
_SCHEMA_FORMS = (
    SchemaForm(takes=ANY, strict=False, enforced=False, streams=False),
    SchemaForm(models=("openai/gpt-oss-20b", "openai/gpt-oss-120b"), takes=GROQ, strict=True, streams=False),
)

# https://console.groq.com/docs/batch: the list is asked for with cursors; spec/groq 9.
_BATCHES = Batches(has_cursors=True)
_CHAT = ChatCompletions(rules=_RULES, families=_FAMILIES, schema_forms=_SCHEMA_FORMS, media=IMAGES_TAKEN)

groq = Provider(
    name="groq",
    docs="https://console.groq.com/docs",
    base_url="https://api.groq.com/openai/v1",
    base_url_env="GROQ_BASE_URL",
    # As Groq's own library has it, the variable names the host alone.
    base_url_end="/openai/v1",
    auth=Auth(env="GROQ_API_KEY"),
    chat_model="openai/gpt-oss-120b",
    checked=date(2026, 11, 23),
    price_list="groq",
    chat=_CHAT,
    models=Models(),
    files=Files(),
    batch=_BATCHES,
    batch_cancel=_BATCHES,
    batch_chats=(_CHAT,),
    # The documentation says 200 MB, the text of its own library 100 MB: the smaller reading; spec/groq 8.
    batch_limits=BatchLimits(requests_max=50_000, input_bytes_max=100_000_000),
    batch_price=0.5,
)
