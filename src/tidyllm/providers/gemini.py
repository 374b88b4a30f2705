"""Google Gemini, the Developer API: https://ai.google.dev/gemini-api/docs."""

from collections.abc import Mapping
from datetime import date

from tidyllm.core.auth import Auth
from tidyllm.core.limits import BatchLimits
from tidyllm.core.media import JPEG, PDF, PNG, WEBP
from tidyllm.core.rules import Family, Fields, Rule, words
from tidyllm.dialects.gemini.batch import Batches
from tidyllm.dialects.gemini.batch_shapes import EMBED_PATH
from tidyllm.dialects.gemini.chat import GenerateContent
from tidyllm.dialects.gemini.embed import EmbedContents
from tidyllm.dialects.gemini.files import Files
from tidyllm.dialects.gemini.models import Models
from tidyllm.dialects.json_schema.form import SchemaForm
from tidyllm.dialects.json_schema.takes import GEMINI
from tidyllm.dialects.media import MediaTaken
from tidyllm.provider import Provider

_LEVEL = "generationConfig.thinkingConfig.thinkingLevel"
_BUDGET = "generationConfig.thinkingConfig.thinkingBudget"
# Tokens to think with, as the OpenAI-compatible endpoint translates the words for these models:
# https://ai.google.dev/gemini-api/docs/openai#thinking. All are within the bounds of spec/gemini 2d.
_BUDGETS: Mapping[str | bool, Fields] = {
    "minimal": {_BUDGET: 1024},
    "low": {_BUDGET: 1024},
    "medium": {_BUDGET: 8192},
    "high": {_BUDGET: 24_576},
}
_FAMILIES = (
    # Levels are for 3 and later, budgets for 2.5, of which the Pro cannot be kept from thinking; spec/gemini 2d.
    Family(models=("gemini-2.5-*",), rules={"effort": Rule(words={"none": {_BUDGET: 0}, **_BUDGETS})}),
    Family(models=("gemini-2.5-pro*",), rules={"effort": Rule(words=_BUDGETS)}),
    Family(models=("gemini-3-pro*",), rules={"effort": words(_LEVEL, "low", "high")}),
    # Of 3.8 Flash and 3.1 Pro this is not certain.
    Family(
        models=("gemini-3.1-pro*", "gemini-3.[78]-flash*", "gemini-4-carbon*"),
        rules={"effort": words(_LEVEL, "low", "medium", "high")},
    ),
)
# https://ai.google.dev/gemini-api/docs/file-input-methods: no GIF; spec/gemini 2a.
_MEDIA = MediaTaken(as_bytes=(PNG, JPEG, WEBP, PDF, "text/*"), by_url=(PNG, JPEG, WEBP, PDF))
_CHAT = GenerateContent(families=_FAMILIES, schema_forms=(SchemaForm(takes=GEMINI),), media=_MEDIA)
_BATCHES = Batches()

gemini = Provider(
    name="gemini",
    docs="https://ai.google.dev/gemini-api/docs",
    base_url="https://generativelanguage.googleapis.com/v1beta",
    base_url_env="GOOGLE_GEMINI_BASE_URL",
    base_url_end="/v1beta",
    auth=Auth(env="GOOGLE_API_KEY", env_also=("GEMINI_API_KEY",), header="x-goog-api-key", prefix=""),
    chat_model="gemini-3.8-flash",
    embed_model="gemini-embedding-001",
    checked=date(2026, 11, 23),
    price_list="google",
    chat=_CHAT,
    # spec/gemini 6; https://ai.google.dev/gemini-api/docs/embeddings.
    embed=EmbedContents(media=MediaTaken(as_bytes=(PNG, JPEG), models=("gemini-embedding-2*",))),
    models=Models(),
    files=Files(),
    batch=_BATCHES,
    batch_cancel=_BATCHES,
    batch_delete=_BATCHES,
    batch_chats=(_CHAT,),
    batch_embed_path=EMBED_PATH,
    # Of requests no number is stated: ours is the 50,000 of others. Of a file it is 2 GB, whose unit is not stated:
    # the smaller reading is safe; spec/gemini 8 and 9.
    batch_limits=BatchLimits(requests_max=50_000, input_bytes_max=2_000_000_000),
    batch_price=0.5,
)
