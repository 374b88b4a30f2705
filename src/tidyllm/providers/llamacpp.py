"""llama.cpp's server: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md."""

from tidyllm.core.auth import Auth
from tidyllm.dialects.json_schema.form import SchemaForm
from tidyllm.dialects.json_schema.takes import GRAMMAR
from tidyllm.dialects.media import IMAGES_TAKEN
from tidyllm.dialects.openai.chat import LENIENT, ChatCompletions
from tidyllm.dialects.openai.embed import EmbeddingsApi
from tidyllm.dialects.openai.models import Models
from tidyllm.provider import Provider

llamacpp = Provider(
    name="llamacpp",
    docs="https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
    # The newest builds listen on 9931; spec/llamacpp 1.
    base_url="http://127.0.0.1:8080/v1",
    base_url_env="LLAMACPP_BASE_URL",
    auth=Auth(env="LLAMACPP_API_KEY", required=False),
    chat=ChatCompletions(rules=LENIENT, schema_forms=(SchemaForm(takes=GRAMMAR),), media=IMAGES_TAKEN),
    # Neither base64 nor a length of vectors is documented; spec/llamacpp 3.
    embed=EmbeddingsApi(encoding="float", dimensions_field=None),
    models=Models(),
)
