"""OpenAI: https://developers.openai.com/api/docs."""

from datetime import date

from tidyllm.core.auth import Auth
from tidyllm.core.limits import BatchLimits
from tidyllm.dialects.openai.batch import Batches
from tidyllm.dialects.openai.chat import ChatCompletions
from tidyllm.dialects.openai.files import Files
from tidyllm.provider import Provider

openai = Provider(
    name="openai",
    docs="https://developers.openai.com/api/docs",
    base_url="https://api.openai.com/v1",
    auth=Auth(env="OPENAI_API_KEY"),
    chat_model="gpt-6.2-sol",
    checked=date(2026, 11, 23),
    chat=ChatCompletions(),
    files=Files(),
    batch=Batches(),
    # 50,000 requests and 200 MB, whose unit is not stated: the smaller reading is safe; spec/openai-batch 4.1.
    batch_limits=BatchLimits(requests_max=50_000, input_bytes_max=200_000_000),
)
