"""Voyage AI: https://docs.voyageai.com. Keys that start with `al-` are MongoDB's: base_url="https://ai.mongodb.com/v1"."""

from datetime import date

from tidyllm.core.auth import Auth
from tidyllm.core.limits import BatchLimits
from tidyllm.core.media import IMAGES
from tidyllm.core.rules import Family, refused
from tidyllm.dialects.media import MediaTaken
from tidyllm.dialects.openai.batch import Batches
from tidyllm.dialects.openai.embed import EmbeddingsApi, Mixed
from tidyllm.dialects.openai.files import Files
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
# https://docs.voyageai.com/reference/retrieve-file-content: its example has curl follow where the API points to.
_FILES = Files(points_elsewhere=True)
# https://docs.voyageai.com/docs/batch-inference; spec/voyage 7.
_BATCHES = Batches(window="12h", lines_are_texts=True, files=_FILES)

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
    files=_FILES,
    batch=_BATCHES,
    batch_cancel=_BATCHES,
    batch_embed_path="/v1/embeddings",
    # 100,000 inputs, of which a line here has one, and 1 GB.
    batch_limits=BatchLimits(requests_max=100_000, input_bytes_max=1_000_000_000),
    batch_price=0.67,
)
