"""Perplexity, its Agent API: https://docs.perplexity.ai/docs/agent-api/quickstart.

It searches the web only when told to: `extra={"tools": [{"type": "web_search"}]}`, or `extra={"effort": "low"}`.
"""

from datetime import date

from tidyllm.core.auth import Auth
from tidyllm.core.limits import BatchLimits
from tidyllm.core.rules import Rules, refused, words
from tidyllm.dialects.json_schema.form import SchemaForm
from tidyllm.dialects.json_schema.takes import ROUTED
from tidyllm.dialects.media import IMAGES_TAKEN
from tidyllm.dialects.openai.batch import Batches
from tidyllm.dialects.openai.embed import EmbeddingsApi
from tidyllm.dialects.openai.files import Files
from tidyllm.dialects.openai.models import Models
from tidyllm.dialects.openai.responses import Responses
from tidyllm.provider import Provider

# spec/perplexity 2.
_RULES: Rules = {
    "effort": words("reasoning.effort", "none", "minimal", "low", "medium", "high", "xhigh"),
    **refused("thoughts", why="This API never tells them; effort= says how much the model thinks."),
    **refused("seed", why="temperature=0 makes answers alike."),
    **refused("stop", why="max_tokens= ends an answer."),
    **refused("frequency_penalty", "presence_penalty", why="temperature= is nearest."),
    **refused("logprobs", why="This API does not tell how likely its words were."),
}
# A field that is not among these is an error, wherever it stands; spec/perplexity 2.
_FIELDS = frozenset(
    {
        *("model", "models", "effort", "preset", "profile", "input", "instructions", "language_preference"),
        *("reasoning", "max_output_tokens", "max_steps", "temperature", "top_p", "response_format"),
        *("tools", "tool_choice", "skills", "step_budget_reminder", "previous_response_id", "store", "background"),
        *("stream", "prompt_cache_key", "service_tier"),
    }
)

# https://docs.perplexity.ai/docs/agent-api/batch: a second request with the same key starts no second batch.
_BATCHES = Batches(has_keys=True)
_RESPONSES = Responses(
    rules=_RULES,
    keeps_reasoning=False,
    known_fields=_FIELDS,
    schema_forms=(SchemaForm(takes=ROUTED, strict=True),),
    nests_format=True,
    # https://docs.perplexity.ai/docs/agent-api/image-attachments; files were left out unsaid; spec/perplexity 2.
    media=IMAGES_TAKEN,
)

perplexity = Provider(
    name="perplexity",
    docs="https://docs.perplexity.ai",
    base_url="https://api.perplexity.ai/v1",
    base_url_env="PERPLEXITY_BASE_URL",
    # As Perplexity's own library has it, the variable names the host alone.
    base_url_end="/v1",
    auth=Auth(env="PERPLEXITY_API_KEY", env_also=("PPLX_API_KEY",)),
    chat_model="perplexity/sonar",
    embed_model="pplx-embed-v1-0.6b",
    checked=date(2026, 11, 23),
    # No price list: it charges for searches too, of which an answer tells nothing but their price.
    chat=_RESPONSES,
    # Whole numbers from -128 to 127, of no unit length: compare them by their angle; spec/perplexity 5.
    embed=EmbeddingsApi(inputs_max=512, encoding="base64_int8"),
    models=Models(),
    files=Files(),
    batch=_BATCHES,
    batch_cancel=_BATCHES,
    # Its one endpoint for batches, /v1/responses; what a batch costs is not said; spec/perplexity 5.
    batch_chats=(_RESPONSES,),
    # https://docs.perplexity.ai/api-reference/files-create-post; which unit MB is, is not said: the smaller reading.
    batch_limits=BatchLimits(requests_max=50_000, input_bytes_max=200_000_000),
)
