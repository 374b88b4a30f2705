"""Ollama, a server for open models on one's own machine: https://docs.ollama.com/api."""

from datetime import date

from tidyllm.core.auth import Auth
from tidyllm.core.media import JPEG, PNG, WEBP
from tidyllm.dialects.json_schema.form import SchemaForm
from tidyllm.dialects.json_schema.takes import GRAMMAR
from tidyllm.dialects.media import MediaTaken
from tidyllm.dialects.ollama.chat import OllamaChat
from tidyllm.dialects.ollama.embed import OllamaEmbed
from tidyllm.dialects.ollama.models import OllamaModels
from tidyllm.provider import Provider

ollama = Provider(
    name="ollama",
    docs="https://docs.ollama.com/api",
    base_url="http://127.0.0.1:11434",
    # As the server itself has it, with or without http:// and a port; spec/ollama 1.
    base_url_env="OLLAMA_HOST",
    port=11434,
    # Only Ollama's cloud wants a key.
    auth=Auth(env="OLLAMA_API_KEY", required=False),
    # Which models chat is up to what was pulled.
    embed_model="embeddinggemma",
    checked=date(2026, 11, 23),
    # Its documentation has the schema in the prompt too; its cloud has it there alone; spec/ollama 1 and 3.
    # Bytes alone, and of these kinds: it fetches nothing; spec/ollama 2 and 6.
    chat=OllamaChat(schema_forms=(SchemaForm(takes=GRAMMAR, told=True),), media=MediaTaken(as_bytes=(PNG, JPEG, WEBP))),
    embed=OllamaEmbed(),
    models=OllamaModels(),
)
