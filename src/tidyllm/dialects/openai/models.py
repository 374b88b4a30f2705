"""The list of models as OpenAI has it, and what others tell besides; spec/openai-chat 8."""

import msgspec

from tidyllm.core.model_info import ModelInfo
from tidyllm.core.wire import Call, Request
from tidyllm.dialect import Site
from tidyllm.dialects.errors import decode, success

_SECONDS_END = 253_402_300_800
"""The year 10000, which no clock of ours can tell."""


class Models(msgspec.Struct, frozen=True, kw_only=True):
    """The list of models, which comes in one page."""

    path: str = "/models"

    def models(self, site: Site) -> Call[tuple[ModelInfo, ...]]:
        """Return all models that the key may use, in the API's order. An alias that has a row of its own keeps it."""
        response = yield Request(
            method="GET", url=site.base_url + self.path, headers=site.headers, auth=site.auth, timeout_s=site.timeout_s
        )
        said = decode(success(response, site), _Answer, site=site)
        return tuple(row.read() for row in said.data)


class _Row(msgspec.Struct, frozen=True):
    """One model. What is not as documented is taken for untold, for a list is no worse for it."""

    id: str
    name: object = None
    created: object = None
    created_at: object = None
    owned_by: object = None
    # Mistral, Groq, vLLM and OpenRouter each have a word of their own; spec/mistral 7, groq 7, vllm 5, openrouter 5.
    max_context_length: object = None
    context_window: object = None
    max_model_len: object = None
    context_length: object = None
    max_completion_tokens: object = None
    top_provider: object = None
    capabilities: object = None
    supported_parameters: object = None
    architecture: object = None
    shutdown_date: object = None
    deprecation: object = None
    expiration_date: object = None

    def read(self) -> ModelInfo:
        """Return it in our words."""
        contexts = (self.context_length, self.context_window, self.max_model_len, self.max_context_length)
        answers = (_inside(self.top_provider, "max_completion_tokens"), self.max_completion_tokens)
        # Azure says when it ends for fine-tuning and when for answers; spec/azure 6.
        ends = (self.shutdown_date, self.deprecation, _inside(self.deprecation, "inference"), self.expiration_date)
        told = (self.capabilities, self.supported_parameters, _inside(self.architecture, "input_modalities"))
        created = _number(self.created) or _number(self.created_at)
        return ModelInfo(
            id=self.id,
            name=_text(self.name),
            created_at=None if created is None or created >= _SECONDS_END else created,
            owned_by=_text(self.owned_by),
            context_tokens=next(filter(None, map(_number, contexts)), None),
            output_tokens_max=next(filter(None, map(_number, answers)), None),
            capabilities=next(filter(None, map(_names, told)), ()),
            ends_at=next(filter(None, map(_moment, ends)), None),
        )


class _Answer(msgspec.Struct, frozen=True):
    data: list[_Row]


def _inside(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _number(value: object) -> int | None:
    """Return a count above 0; servers that do not know one write 0 as well as null."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value > 0 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _moment(value: object) -> str | None:
    """Return a date as it is written, which may be in seconds."""
    number = _number(value)
    return _text(value) if number is None else str(number)


def _names(value: object) -> tuple[str, ...]:
    """Return the names in a list, or those that an object says are true."""
    if isinstance(value, dict):
        return tuple(str(name) for name, holds in value.items() if holds is True)
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else ()
