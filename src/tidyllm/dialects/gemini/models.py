"""The list of models; spec/gemini 7."""

from urllib.parse import urlencode

import msgspec

from tidyllm.core.errors import BadAnswerError
from tidyllm.core.model_info import ModelInfo
from tidyllm.core.wire import Call, Request
from tidyllm.dialect import Site
from tidyllm.dialects.errors import decode, success
from tidyllm.dialects.gemini.names import bare


class ListedModel(msgspec.Struct, frozen=True, rename="camel"):
    """One model of the list."""

    name: str
    display_name: str | None = None
    input_token_limit: int | None = None
    output_token_limit: int | None = None
    supported_generation_methods: list[str] | None = None

    def read(self) -> ModelInfo:
        """Return it as every provider's."""
        return ModelInfo(
            id=bare(self.name),
            name=self.display_name,
            context_tokens=self.input_token_limit,
            output_tokens_max=self.output_token_limit,
            capabilities=tuple(self.supported_generation_methods or ()),
        )


class ModelPage(msgspec.Struct, frozen=True, rename="camel"):
    """One page of the list; the last has no token."""

    models: list[ListedModel] | None = None
    next_page_token: str | None = None


class Models(msgspec.Struct, frozen=True, kw_only=True):
    """The API that lists the models."""

    pages_max: int = 100
    """Of a thousand models each."""

    def models(self, site: Site) -> Call[tuple[ModelInfo, ...]]:
        """Return all models that the key may use, all pages of them.

        Raises BadAnswerError for a list that comes to no end.
        """
        found: list[ModelInfo] = []
        query, seen = {"pageSize": "1000"}, {""}
        while True:
            url = f"{site.base_url}/models?{urlencode(query)}"
            response = yield Request(
                method="GET", url=url, headers=site.headers, auth=site.auth, timeout_s=site.timeout_s
            )
            body = success(response, site)
            page = decode(body, ModelPage, site=site)
            found += [model.read() for model in page.models or []]
            if not page.next_page_token:
                return tuple(found)
            if page.next_page_token in seen or len(seen) >= self.pages_max:
                raise BadAnswerError(f"{site.provider} lists its models without an end.", body=body)
            seen.add(page.next_page_token)
            query["pageToken"] = page.next_page_token
