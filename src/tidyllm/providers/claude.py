"""Claude, by Anthropic: https://platform.claude.com/docs/en/api/messages."""

from datetime import date

from tidyllm.core.auth import Auth
from tidyllm.core.limits import BatchLimits
from tidyllm.core.media import IMAGES, PDF
from tidyllm.core.rules import Family, Fields, Rule, Rules
from tidyllm.dialects.anthropic.batch import MessageBatches
from tidyllm.dialects.anthropic.chat import Messages
from tidyllm.dialects.anthropic.models import Models
from tidyllm.dialects.json_schema.form import SchemaForm
from tidyllm.dialects.json_schema.takes import ANTHROPIC
from tidyllm.dialects.media import MediaTaken
from tidyllm.provider import Provider

# https://platform.claude.com/docs/en/build-with-claude/effort and .../adaptive-thinking; spec/anthropic 2d.
_LEVELS = ("low", "medium", "high", "xhigh", "max")
_ADAPTIVE = {"thinking.type": "adaptive"}
_OFF: Fields = {"thinking.type": "disabled"}
_SHOWN = Rule(
    words={
        True: {**_ADAPTIVE, "thinking.display": "summarized"},
        False: {**_ADAPTIVE, "thinking.display": "omitted"},
    }
)
_THINKS: dict[str | bool, Fields] = {level: {"output_config.effort": level} for level in _LEVELS}
_ALWAYS_ON: Rules = {"effort": Rule(words=_THINKS, hint="It always thinks."), "thoughts": _SHOWN}
_ON: Rules = {"effort": Rule(words={"none": _OFF, **_THINKS})}
_OFF_AT_FIRST: Rules = {
    "effort": Rule(words={"none": _OFF, **{word: {**its, **_ADAPTIVE} for word, its in _THINKS.items()}})
}
# What may be thought is a number of tokens there, of which at least 1,024; how many each word means is our choice.
_ENABLED: Rules = {
    "effort": Rule(
        words={
            "none": _OFF,
            "low": {"thinking.type": "enabled", "thinking.budget_tokens": 2_048},
            "medium": {"thinking.type": "enabled", "thinking.budget_tokens": 8_192},
            "high": {"thinking.type": "enabled", "thinking.budget_tokens": 16_384},
            "max": {"thinking.type": "enabled", "thinking.budget_tokens": 32_000},
        }
    ),
    "thoughts": Rule(
        words={True: {"thinking.type": "enabled", "thinking.budget_tokens": 8_192}},
        hint="What it thinks is always told.",
    ),
}
# Up to 4.6 the choice of words can be steered; spec/anthropic 1a.
_STEERED: Rules = {
    "temperature": Rule(field="temperature", low=0, high=1),
    "top_p": Rule(field="top_p", low=0, high=1),
    "top_k": Rule(field="top_k", low=1),
}
# Longest answers: spec/anthropic 11, and https://platform.claude.com/docs/en/about-claude/models for older ones.
_FAMILIES = (
    Family(models=("*",), rules=_ALWAYS_ON, sends={"max_tokens": 128_000}),
    Family(models=("claude-sonnet-5", "claude-sonnet-5-20*", "claude-opus-5", "claude-opus-5-20*"), rules=_ON),
    Family(models=("claude-*-4-7*", "claude-*-4-8*"), rules=_OFF_AT_FIRST),
    Family(models=("claude-*-4-6*",), rules={**_OFF_AT_FIRST, **_STEERED}, sends={"max_tokens": 64_000}),
    Family(models=("claude-*-4-5*",), rules={**_ENABLED, **_STEERED}, sends={"max_tokens": 64_000}),
)
# Texts of all kinds, as plain text; spec/anthropic 2a.
_MEDIA = MediaTaken(as_bytes=(*IMAGES, PDF, "text/*"), by_url=(*IMAGES, PDF))
_CHAT = Messages(families=_FAMILIES, schema_forms=(SchemaForm(takes=ANTHROPIC),), media=_MEDIA)
_BATCHES = MessageBatches()

claude = Provider(
    name="claude",
    docs="https://platform.claude.com/docs/en/api/messages",
    base_url="https://api.anthropic.com/v1",
    base_url_env="ANTHROPIC_BASE_URL",
    # As Anthropic's own library has it, the variable names the host alone.
    base_url_end="/v1",
    auth=Auth(env="ANTHROPIC_API_KEY", header="x-api-key", prefix=""),
    chat_model="claude-sonnet-5-5",
    checked=date(2026, 11, 23),
    price_list="anthropic",
    chat=_CHAT,
    models=Models(),
    batch=_BATCHES,
    batch_cancel=_BATCHES,
    batch_delete=_BATCHES,
    batch_chats=(_CHAT,),
    # 100,000 requests or 256 MB, whichever comes first; spec/anthropic 9.
    batch_limits=BatchLimits(requests_max=100_000, input_bytes_max=_BATCHES.inline_bytes_max),
    batch_price=0.5,
)
