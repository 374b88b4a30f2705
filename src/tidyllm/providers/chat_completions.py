"""Any server that speaks Chat Completions: https://developers.openai.com/api/reference/resources/chat."""

from tidyllm.core.auth import Auth
from tidyllm.dialects.json_schema.form import SchemaForm
from tidyllm.dialects.json_schema.takes import ANY
from tidyllm.dialects.media import IMAGES_TAKEN
from tidyllm.dialects.openai.chat import LENIENT, ChatCompletions
from tidyllm.dialects.openai.embed import EmbeddingsApi
from tidyllm.dialects.openai.models import Models
from tidyllm.provider import Provider

chat_completions = Provider(
    name="chat_completions",
    docs="https://developers.openai.com/api/reference/resources/chat",
    # Everybody's own.
    base_url_env="CHAT_COMPLETIONS_BASE_URL",
    auth=Auth(env="CHAT_COMPLETIONS_API_KEY", required=False),
    # What the server takes is not known.
    chat=ChatCompletions(rules=LENIENT, schema_forms=(SchemaForm(takes=ANY, enforced=False),), media=IMAGES_TAKEN),
    # Not every server has base64.
    embed=EmbeddingsApi(encoding="float"),
    models=Models(),
)
