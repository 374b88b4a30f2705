"""Voyage AI: https://docs.voyageai.com. Keys that start with `al-` are MongoDB's: base_url="https://ai.mongodb.com/v1"."""

from datetime import date

from tidyllm.core.auth import Auth
from tidyllm.core.rules import Family
from tidyllm.dialects.openai.embed import EmbeddingsApi
from tidyllm.provider import Provider

# Unless told so, it cuts a text that is too long and says nothing; spec/voyage 2.
_WHOLE = Family(models=("*",), sends={"truncation": False})

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
        families=(_WHOLE,),
    ),
)
