"""Azure OpenAI, its v1 API: https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle.

A model is named by its deployment; `model_family=` says which model that is, where its own rules are to hold. The key
may be one of the resource, or a function that returns a token of Entra: this API takes both in the same header.
Batches need a deployment of their own kind, Global Batch or Data Zone Batch.
"""

from tidyllm.core.auth import Auth
from tidyllm.core.limits import BatchLimits
from tidyllm.core.media import IMAGES, PDF
from tidyllm.dialects.json_schema.takes import AZURE
from tidyllm.dialects.media import IMAGES_TAKEN, MediaTaken
from tidyllm.dialects.openai.batch import Batches
from tidyllm.dialects.openai.chat import ChatCompletions
from tidyllm.dialects.openai.embed import EmbeddingsApi
from tidyllm.dialects.openai.families import CHAT_FAMILIES, CHAT_RULES, RESPONSES_FAMILIES, schema_forms
from tidyllm.dialects.openai.files import Files
from tidyllm.dialects.openai.models import Models
from tidyllm.dialects.openai.responses import Responses
from tidyllm.provider import Provider

# Of files its documentation has PDFs alone, in the Responses API: https://learn.microsoft.com/azure/ai-foundry/openai.
_WITH_PDFS = MediaTaken(as_bytes=(*IMAGES, PDF), by_url=IMAGES)
_BATCHES = Batches()
# Models of other makers, which are on the same path, have Chat Completions alone for certain; spec/azure 1.
_CHAT = ChatCompletions(rules=CHAT_RULES, families=CHAT_FAMILIES, schema_forms=schema_forms(AZURE), media=IMAGES_TAKEN)
_RESPONSES = Responses(families=RESPONSES_FAMILIES, schema_forms=schema_forms(AZURE), media=_WITH_PDFS)

azure_openai = Provider(
    name="azure_openai",
    docs="https://learn.microsoft.com/azure/ai-foundry/openai",
    # Everybody has an address of their own; the variable names the host alone, as in Azure's own library; spec/azure 1.
    base_url_env="AZURE_OPENAI_ENDPOINT",
    base_url_end="/openai/v1",
    auth=Auth(env="AZURE_OPENAI_API_KEY"),
    price_list="azure",
    chat=_CHAT,
    chat_also=(_RESPONSES,),
    embed=EmbeddingsApi(),
    models=Models(),
    files=Files(readies=True),
    batch=_BATCHES,
    batch_cancel=_BATCHES,
    # No embeddings: the reference lists them, the guide says that they are not supported; spec/azure 7.
    batch_chats=(_CHAT, _RESPONSES),
    # The guide says 100,000, the reference 50,000, and neither which unit MB is: the smaller reading; spec/azure 7.
    batch_limits=BatchLimits(requests_max=50_000, input_bytes_max=200_000_000),
    batch_price=0.5,
)
