"""OpenAI: https://developers.openai.com/api/docs."""

from datetime import date

from tidyllm.core.auth import Auth
from tidyllm.core.limits import BatchLimits
from tidyllm.core.media import IMAGES, PDF, PLAIN
from tidyllm.core.rules import Family, refused
from tidyllm.dialects.media import MediaTaken
from tidyllm.dialects.openai.batch import Batches
from tidyllm.dialects.openai.chat import ChatCompletions
from tidyllm.dialects.openai.embed import EmbeddingsApi
from tidyllm.dialects.openai.families import CHAT_FAMILIES, CHAT_RULES, RESPONSES_FAMILIES, schema_forms
from tidyllm.dialects.openai.files import Files
from tidyllm.dialects.openai.models import Models
from tidyllm.dialects.openai.responses import Responses
from tidyllm.provider import Provider

# spec/openai-chat 7.
_FIXED_LENGTH = Family(
    models=("text-embedding-ada-002",), rules=refused("dimensions", why="Its vectors have 1536 numbers.")
)

# https://developers.openai.com/api/docs/guides/file-inputs. Of tables, as CSV, only a thousand rows would be read.
_TEXTS = (PLAIN, "text/markdown")
_MEDIA = MediaTaken(as_bytes=(*IMAGES, PDF, *_TEXTS), by_url=(*IMAGES, PDF, *_TEXTS))
_CHAT_MEDIA = MediaTaken(as_bytes=(*IMAGES, PDF), by_url=IMAGES)

_BATCHES = Batches()
# Models of today have their tools and their thoughts there alone; spec/openai-chat 3.2.
_RESPONSES = Responses(families=RESPONSES_FAMILIES, schema_forms=schema_forms(), media=_MEDIA)
_CHAT = ChatCompletions(rules=CHAT_RULES, families=CHAT_FAMILIES, schema_forms=schema_forms(), media=_CHAT_MEDIA)

openai = Provider(
    name="openai",
    docs="https://developers.openai.com/api/docs",
    base_url="https://api.openai.com/v1",
    base_url_env="OPENAI_BASE_URL",
    auth=Auth(env="OPENAI_API_KEY"),
    chat_model="gpt-6.2-sol",
    embed_model="text-embedding-3-small",
    checked=date(2026, 11, 23),
    price_list="openai",
    chat=_RESPONSES,
    chat_also=(_CHAT,),
    embed=EmbeddingsApi(families=(_FIXED_LENGTH,)),
    models=Models(),
    files=Files(),
    batch=_BATCHES,
    batch_cancel=_BATCHES,
    batch_chats=(_RESPONSES, _CHAT),
    batch_embed_path="/v1/embeddings",
    # 50,000 requests and 200 MB, whose unit is not stated: the smaller reading is safe; spec/openai-batch 4.1.
    batch_limits=BatchLimits(requests_max=50_000, input_bytes_max=200_000_000),
    batch_price=0.5,
)
