"""The models that an Ollama server has; spec/ollama 5."""

import msgspec

from tidyllm.core.model_info import ModelInfo
from tidyllm.core.wire import Call, Request
from tidyllm.dialect import Site
from tidyllm.dialects.errors import decode, success


class OllamaModels(msgspec.Struct, frozen=True):
    """The list of the models that were pulled."""

    def models(self, site: Site) -> Call[tuple[ModelInfo, ...]]:
        """Return all of them, in the server's order."""
        response = yield Request(
            method="GET",
            url=f"{site.base_url}/api/tags",
            headers=site.headers,
            auth=site.auth,
            timeout_s=site.timeout_s,
        )
        said = decode(success(response, site), _Tags, site=site)
        return tuple(
            ModelInfo(
                id=one.name,
                context_tokens=(one.details or _Details()).context_length,
                capabilities=tuple(one.capabilities or ()),
            )
            for one in said.models or ()
        )


class _Details(msgspec.Struct, frozen=True):
    context_length: int | None = None


class _Tag(msgspec.Struct, frozen=True):
    name: str
    details: _Details | None = None
    capabilities: list[str] | None = None


class _Tags(msgspec.Struct, frozen=True):
    models: list[_Tag] | None = None
