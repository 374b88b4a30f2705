"""Mistral: https://docs.mistral.ai/api."""

from datetime import date

from tidyllm.core.auth import Auth
from tidyllm.core.limits import BatchLimits
from tidyllm.core.media import IMAGES, PDF
from tidyllm.core.rules import Family, Rule, Rules, refused, words
from tidyllm.dialects.json_schema.form import SchemaForm
from tidyllm.dialects.json_schema.takes import ANY
from tidyllm.dialects.media import MediaTaken
from tidyllm.dialects.mistral.batch import Batches
from tidyllm.dialects.openai.chat import ChatCompletions
from tidyllm.dialects.openai.embed import EmbeddingsApi
from tidyllm.dialects.openai.files import Files
from tidyllm.dialects.openai.models import Models
from tidyllm.provider import Provider

# A field that is not listed is refused; spec/mistral 1 and 2.
_RULES: Rules = {
    "temperature": Rule(field="temperature", low=0, high=1.5),
    "max_tokens": Rule(field="max_tokens", low=1),
    "seed": Rule(field="random_seed"),
    "stop": Rule(field="stop"),
    # In the types of Mistral's own library alone.
    "top_k": Rule(field="top_k", low=1),
    # The library's types have more words than the API takes; spec/mistral 2c.
    "effort": words("reasoning_effort", "none", "high"),
    # Told whenever the model thinks.
    "thoughts": Rule(words={True: {}}, hint='With effort="none" there are none.'),
    **refused("logprobs", why="The API's documentation has no such field."),
}

# Its vectors are of one length; spec/mistral 6.
_FIXED_LENGTH = Family(models=("mistral-embed*",), rules=refused("dimensions", why="Its vectors have 1024 numbers."))

# https://docs.mistral.ai/capabilities/document; spec/mistral 2.
_MEDIA = MediaTaken(as_bytes=(*IMAGES, PDF), by_url=(*IMAGES, PDF))
_BATCHES = Batches()
# The last chunk of a stream tells of tokens by itself, and `stream_options` is refused; spec/mistral 4.
_CHAT = ChatCompletions(
    rules=_RULES,
    asks_usage=False,
    schema_forms=(SchemaForm(takes=ANY, strict=True),),
    media=_MEDIA,
    file_part="document_url",
)

mistral = Provider(
    name="mistral",
    docs="https://docs.mistral.ai",
    base_url="https://api.mistral.ai/v1",
    auth=Auth(env="MISTRAL_API_KEY"),
    chat_model="mistral-medium-latest",
    embed_model="mistral-embed",
    checked=date(2026, 11, 23),
    price_list="mistral",
    chat=_CHAT,
    # The tokens of a request are capped at 16,384; most text has two bytes a token or more. `output_dtype` in extra=
    # would make base64 of something else than floats; spec/mistral 6.
    embed=EmbeddingsApi(
        inputs_max=64,
        bytes_max=32_768,
        encoding="float",
        dimensions_field="output_dimension",
        families=(_FIXED_LENGTH,),
    ),
    models=Models(),
    files=Files(),
    batch=_BATCHES,
    batch_cancel=_BATCHES,
    batch_delete=_BATCHES,
    batch_chats=(_CHAT,),
    batch_embed_path="/v1/embeddings",
    # The page on batches says a million requests, the one on limits 100,000: the smaller reading; spec/mistral 9.
    batch_limits=BatchLimits(requests_max=100_000, input_bytes_max=512_000_000),
    batch_price=0.5,
)
