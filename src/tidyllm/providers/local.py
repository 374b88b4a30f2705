"""Our own server, which gives a Batch API to endpoints that have none: `tidyllm serve`."""

from tidyllm.core.auth import Auth
from tidyllm.core.limits import BatchLimits
from tidyllm.core.wire import MIB
from tidyllm.dialects.json_schema.form import SchemaForm
from tidyllm.dialects.json_schema.takes import ANY
from tidyllm.dialects.media import IMAGES_TAKEN
from tidyllm.dialects.openai.batch import Batches
from tidyllm.dialects.openai.chat import LENIENT, ChatCompletions
from tidyllm.dialects.openai.files import Files
from tidyllm.provider import Provider

_BATCHES = Batches()
# The endpoints behind it are many, and not all know the newer name.
_CHAT = ChatCompletions(rules=LENIENT, schema_forms=(SchemaForm(takes=ANY, enforced=False),), media=IMAGES_TAKEN)

local = Provider(
    name="local",
    docs="docs/server.md",
    base_url="http://127.0.0.1:8642/v1",
    base_url_env="TIDYLLM_BASE_URL",
    auth=Auth(env="TIDYLLM_API_KEY", required=False),
    chat=_CHAT,
    files=Files(),
    batch=_BATCHES,
    batch_cancel=_BATCHES,
    batch_chats=(_CHAT,),
    # What the server accepts unless it is set up otherwise.
    batch_limits=BatchLimits(requests_max=50_000, input_bytes_max=200 * MIB),
)
