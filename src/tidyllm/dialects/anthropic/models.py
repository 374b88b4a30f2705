"""Anthropic's list of models, all pages of it; spec/anthropic 7."""

from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from tidyllm.core.errors import BadAnswerError
from tidyllm.core.model_info import ModelInfo
from tidyllm.core.wire import Call, Request
from tidyllm.dialect import Site
from tidyllm.dialects.errors import decode, success
from tidyllm.dialects.times import unix_seconds

_PAGE = 1000
_PAGES_MAX = 100


class Models(msgspec.Struct, frozen=True, kw_only=True):
    """The list of models."""

    version: str = "2023-06-01"
    """The version of the API."""

    def models(self, site: Site) -> Call[tuple[ModelInfo, ...]]:
        """Return all models that the key may use, newest first. Raises BadAnswerError for a list without end."""
        found: list[ModelInfo] = []
        query = {"limit": str(_PAGE)}
        for _ in range(_PAGES_MAX):
            response = yield Request(
                method="GET",
                url=f"{site.base_url}/models?{urlencode(query)}",
                headers=site.says(("anthropic-version", self.version)),
                auth=site.auth,
                timeout_s=site.timeout_s,
            )
            page = decode(success(response, site), _Page, site=site)
            found += [row.info() for row in page.data]
            if not page.has_more or page.last_id is None:
                return tuple(found)
            query["after_id"] = page.last_id
        raise BadAnswerError(f"{site.provider}'s list of models does not end.", body=response.body)


class _Row(msgspec.Struct, frozen=True):
    """One model."""

    id: str
    display_name: str | None = None
    created_at: str | None = None
    max_input_tokens: int | None = None
    max_tokens: int | None = None
    retires_at: str | None = None
    capabilities: Mapping[str, object] | None = None

    def info(self) -> ModelInfo:
        """Return it in our words."""
        able = [
            name
            for name, told in (self.capabilities or {}).items()
            if isinstance(told, Mapping) and told.get("supported") is True
        ]
        return ModelInfo(
            id=self.id,
            name=self.display_name,
            created_at=unix_seconds(self.created_at),
            owned_by="anthropic",
            context_tokens=self.max_input_tokens,
            output_tokens_max=self.max_tokens,
            capabilities=tuple(able),
            ends_at=self.retires_at,
        )


class _Page(msgspec.Struct, frozen=True):
    data: list[_Row]
    has_more: bool | None = None
    last_id: str | None = None
