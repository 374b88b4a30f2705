"""What the models that OpenAI makes take and refuse, whoever offers them; spec/openai-chat 3.2."""

from tidyllm.core.rules import Family, Rule, Rules, refused, words
from tidyllm.dialects.json_schema.form import SchemaForm
from tidyllm.dialects.json_schema.takes import OPENAI, Takes

# `gpt-5-chat` does not reason, all others of that generation do.
_REASONING = ("o[0-9]*", "gpt-5", "gpt-5-[!c]*", "gpt-5-codex*", "gpt-5.*", "gpt-6*")
_NOT_REASONING = ("gpt-3.5*", "gpt-4*", "gpt-5-chat*")
_OLDER = refused("effort", "thoughts", why="It does not reason; gpt-5 and later do.")

# https://developers.openai.com/api/docs/guides/structured-outputs: they have JSON mode alone, or nothing.
_SCHEMALESS = ("gpt-3.5*", "gpt-4", "gpt-4-*", "gpt-4o-2024-05-13", "chatgpt-4o*", "o1-mini*", "o1-preview*")

_UNLESS_NONE = 'It reasons: effort= steers it; with effort="none", where it has that, this works.'
_ONLY_CHAT = (
    'The Responses API does not have it. Chat Completions has it, api="chat_completions", for this model with '
    'effort="none" where it has that.'
)

_SIX_TWO = ("low", "medium", "high", "xhigh")
_ASTRA = ("gpt-6-astra*",)

CHAT_RULES: Rules = {
    "thoughts": Rule(refusal="Chat Completions never tells them, nor do batches; Responses, the other API, does."),
}
"""Of Chat Completions, where Responses is the other API."""

CHAT_FAMILIES = (
    # Reasoning models refuse what steers the choice of tokens, unless they do not reason.
    Family(
        models=_REASONING,
        rules=refused(
            *("temperature", "top_p", "frequency_penalty", "presence_penalty", "logprobs", "stop"), why=_UNLESS_NONE
        ),
        unless_effort="none",
    ),
    Family(models=_NOT_REASONING, rules=_OLDER),
    Family(
        models=_ASTRA,
        rules={
            "effort": Rule(
                words={word: {"reasoning_effort": word} for word in _SIX_TWO}, hint='Responses has "max" besides.'
            )
        },
    ),
    Family(models=("gpt-6.2*",), rules={"effort": words("reasoning_effort", *_SIX_TWO)}),
)
"""How models differ in Chat Completions."""

RESPONSES_FAMILIES = (
    Family(
        models=_REASONING,
        rules=refused("temperature", "top_p", "logprobs", why=_UNLESS_NONE),
        unless_effort="none",
    ),
    Family(
        models=_REASONING,
        rules=refused("stop", "frequency_penalty", "presence_penalty", why=_ONLY_CHAT),
        # Other models refuse to be asked for thoughts that they do not have.
        sends={"include": ["reasoning.encrypted_content"]},
    ),
    Family(models=_NOT_REASONING, rules=_OLDER),
    Family(models=_ASTRA, rules={"effort": words("reasoning.effort", *_SIX_TWO, "max")}),
    Family(models=("gpt-6.2*",), rules={"effort": words("reasoning.effort", *_SIX_TWO)}),
)
"""How models differ in Responses."""


def schema_forms(takes: Takes = OPENAI) -> tuple[SchemaForm, ...]:
    """Return how models are asked for an answer that fits a schema, by who offers them."""
    older = SchemaForm(models=_SCHEMALESS, takes=takes, refusal="gpt-4o-mini and later models do.")
    return SchemaForm(takes=takes, strict=True), older
