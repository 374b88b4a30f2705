"""Voyage AI: https://docs.voyageai.com. Keys that start with `al-` are MongoDB's: base_url="https://ai.mongodb.com/v1"."""

from datetime import date

from tidyllm.core.auth import Auth
from tidyllm.core.media import IMAGES
from tidyllm.core.rules import Family, refused
from tidyllm.dialects.media import MediaTaken
from tidyllm.dialects.openai.embed import EmbeddingsApi, Mixed
from tidyllm.provider import Provider

# Unless told so, it cuts a text that is too long and says nothing; spec/voyage 2.
_WHOLE = Family(models=("*",), sends={"truncation": False})

# https://docs.voyageai.com/docs/multimodal-embeddings; spec/voyage 3.
_MIXED = Mixed(
    media=MediaTaken(as_bytes=IMAGES, by_url=IMAGES, models=("voyage-multimodal-*",)),
    path="/multimodalembeddings",
    field="inputs",
    named=False,
)
_OLD = Family(models=("voyage-multimodal-3",), rules=refused("dimensions", why="Its vectors have 1024 numbers."))

voyage = Provider(
    name="voyage",
    docs="https://docs.voyageai.com/docs/embeddings",
    base_url="https://api.voyageai.com/v1",
    auth=Auth(env="VOYAGE_API_KEY"),
    embed_model="voyage-4",
    checked=date(2026, 11, 23),
    # What a vector is for is said by extra={"input_type": "query"} or "document".
    embed=EmbeddingsApi(
        inputs_max=1000,
        dimensions_field="output_dimension",
        # In base64 the numbers of other types could not be told from floats.
        fixed={"output_dtype": "float"},
        families=(_WHOLE, _OLD),
        mixed=_MIXED,
    ),
)
