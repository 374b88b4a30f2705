"""DeepSeek: https://api-docs.deepseek.com."""

from datetime import date

from tidyllm.core.auth import Auth
from tidyllm.core.rules import Family, Rule, Rules, refused
from tidyllm.dialects.json_schema.form import SchemaForm
from tidyllm.dialects.json_schema.takes import ANY
from tidyllm.dialects.media import IMAGES_TAKEN
from tidyllm.dialects.openai.chat import ChatCompletions
from tidyllm.dialects.openai.models import Models
from tidyllm.provider import Provider

# spec/deepseek 3. Other efforts are taken for one of these without a word; so they are not sent.
_RULES: Rules = {
    "max_tokens": Rule(field="max_tokens", low=1),
    "stop": Rule(field="stop", texts_max=16),
    "effort": Rule(
        words={
            "none": {"thinking.type": "disabled"},
            "low": {"thinking.type": "enabled", "reasoning_effort": "low"},
            "high": {"thinking.type": "enabled", "reasoning_effort": "high"},
            "max": {"thinking.type": "enabled", "reasoning_effort": "max"},
        },
        hint="Nearest to minimal is low, and to medium and xhigh high.",
    ),
    # Told whenever the model thinks.
    "thoughts": Rule(words={True: {}}, hint='With effort="none" there are none.'),
    **refused("seed", why="Answers do not repeat here: temperature=0 is nearest."),
}

# Every model thinks unless told not to, and then passes these over without a word; spec/deepseek 3.
_THINKING = Family(
    models=("*",),
    rules={
        **refused(
            "temperature",
            "frequency_penalty",
            "presence_penalty",
            "logprobs",
            why='It has no effect while the model thinks: with effort="none" it works.',
        ),
        "top_p": Rule(field="top_p", low=0.95, high=1),
    },
    unless_effort="none",
)

# https://api-docs.deepseek.com/guides/json_mode: the prompt must say what the JSON is to be; spec/deepseek 6.
_JSON_MODE = SchemaForm(takes=ANY, json_mode=True, told=True, enforced=False)

deepseek = Provider(
    name="deepseek",
    docs="https://api-docs.deepseek.com",
    base_url="https://api.deepseek.com",
    auth=Auth(env="DEEPSEEK_API_KEY"),
    chat_model="deepseek-flash",
    checked=date(2026, 11, 23),
    price_list="deepseek",
    chat=ChatCompletions(rules=_RULES, families=(_THINKING,), schema_forms=(_JSON_MODE,), media=IMAGES_TAKEN),
    models=Models(),
)
