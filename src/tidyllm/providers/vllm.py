"""vLLM, a server for open models: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html."""

from tidyllm.core.auth import Auth
from tidyllm.core.rules import Rule, Rules
from tidyllm.dialects.json_schema.form import SchemaForm
from tidyllm.dialects.json_schema.takes import VLLM
from tidyllm.dialects.media import IMAGES_TAKEN
from tidyllm.dialects.openai.chat import LENIENT, ChatCompletions
from tidyllm.dialects.openai.embed import EmbeddingsApi
from tidyllm.dialects.openai.models import Models
from tidyllm.provider import Provider

# spec/vllm 2.
_RULES: Rules = {
    **LENIENT,
    "thoughts": Rule(words={True: {"include_reasoning": True}, False: {"include_reasoning": False}}),
}

vllm = Provider(
    name="vllm",
    docs="https://docs.vllm.ai",
    base_url="http://127.0.0.1:8000/v1",
    base_url_env="VLLM_BASE_URL",
    auth=Auth(env="VLLM_API_KEY", required=False),
    chat=ChatCompletions(rules=_RULES, schema_forms=(SchemaForm(takes=VLLM),), media=IMAGES_TAKEN),
    # Figures, because embed_dtype and endianness in extra= would change what base64 holds; spec/vllm 4.
    embed=EmbeddingsApi(encoding="float"),
    models=Models(),
)
