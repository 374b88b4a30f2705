"""OpenRouter: https://openrouter.ai/docs/api-reference/chat-completion."""

from datetime import date

from tidyllm.core.auth import Auth
from tidyllm.core.limits import BatchLimits
from tidyllm.core.media import IMAGES, PDF
from tidyllm.core.rules import Family, Rule, Rules, words
from tidyllm.dialects.json_schema.form import SchemaForm
from tidyllm.dialects.json_schema.takes import ROUTED
from tidyllm.dialects.media import IMAGES_TAKEN, MediaTaken
from tidyllm.dialects.openai.chat import ChatCompletions
from tidyllm.dialects.openai.embed import EmbeddingsApi, Mixed
from tidyllm.dialects.openai.models import Models
from tidyllm.dialects.openrouter.batch import Batches
from tidyllm.provider import Provider

# https://openrouter.ai/docs/api-reference/parameters; spec/openrouter 2.
_RULES: Rules = {
    "max_tokens": Rule(field="max_tokens", low=1),
    "stop": Rule(field="stop"),
    "top_k": Rule(field="top_k", low=0),
    "effort": words("reasoning.effort", "none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "thoughts": Rule(words={True: {}, False: {"reasoning.exclude": True}}),
}

# Otherwise parameters are dropped where the one who answers does not know them, and nobody is told; spec/openrouter 2.
_ALL = Family(models=("*",), sends={"provider.require_parameters": True})

# https://openrouter.ai/docs/features/images-and-pdfs; spec/openrouter 2.
_MEDIA = MediaTaken(as_bytes=(*IMAGES, PDF), by_url=(*IMAGES, PDF))
_BATCHES = Batches()
# Tokens are told in any case, and so is what they cost; spec/openrouter 2.
_CHAT = ChatCompletions(
    rules=_RULES,
    families=(_ALL,),
    asks_usage=False,
    replays="reasoning_details",
    schema_forms=(SchemaForm(takes=ROUTED, strict=True),),
    media=_MEDIA,
)

openrouter = Provider(
    name="openrouter",
    docs="https://openrouter.ai/docs",
    base_url="https://openrouter.ai/api/v1",
    auth=Auth(env="OPENROUTER_API_KEY"),
    chat_model="openai/gpt-6.1-sol",
    embed_model="openai/text-embedding-3-small",
    checked=date(2026, 11, 23),
    price_list="openrouter",
    chat=_CHAT,
    # Which of its models see is not in their names; the others say so.
    embed=EmbeddingsApi(mixed=Mixed(media=IMAGES_TAKEN)),
    models=Models(),
    batch=_BATCHES,
    batch_delete=_BATCHES,
    batch_chats=(_CHAT,),
    batch_embed_path="/v1/embeddings",
    # No limits are told. All results come back in one answer, which has to be held whole: hence few requests.
    batch_limits=BatchLimits(requests_max=10_000, input_bytes_max=100_000_000),
    # "Typically"; searches and the like cost the same; https://openrouter.ai/docs/batch-quickstart.
    batch_price=0.5,
)
