"""Texts into vectors; spec/gemini 6."""

from collections.abc import Sequence

import msgspec

from tidyllm.core.embeddings import Embeddings
from tidyllm.core.errors import BadAnswerError
from tidyllm.core.params import Params
from tidyllm.core.rules import request_body
from tidyllm.core.wire import Call, Request
from tidyllm.dialect import Site
from tidyllm.dialects.errors import decode, success
from tidyllm.dialects.gemini.chat_shapes import Usage
from tidyllm.dialects.gemini.names import bare, resource, url_path
from tidyllm.dialects.vectors import packed


class Embedding(msgspec.Struct, frozen=True):
    """One vector."""

    values: list[float] | None = None


class EmbeddingList(msgspec.Struct, frozen=True, rename="camel"):
    """The vectors of a request's texts, in their order."""

    embeddings: list[Embedding] | None = None
    usage_metadata: Usage | None = None


class EmbedContents(msgspec.Struct, frozen=True, kw_only=True):
    """The API that takes several texts at once; each is a request in the request."""

    inputs_max: int = 100

    def embed(self, site: Site, texts: Sequence[str], *, model: str, params: Params) -> Call[Embeddings]:
        """Return one vector a text, in their order; fields of `extra=` are said of each text.

        Raises BadAnswerError for an answer that has not one vector for each text.
        """
        response = yield Request(
            method="POST",
            url=f"{site.base_url}{url_path(model)}:batchEmbedContents",
            headers=(*site.headers, ("content-type", "application/json")),
            body=msgspec.json.encode({"requests": [_request(text, model=model, params=params) for text in texts]}),
            auth=site.auth,
            timeout_s=site.timeout_s,
        )
        body = success(response, site)
        said = decode(body, EmbeddingList, site=site)
        vectors = tuple(packed(one.values) for one in said.embeddings or [] if one.values)
        if len(vectors) != len(texts):
            raise BadAnswerError(f"{site.provider} gave {len(vectors)} vectors for {len(texts)} texts.", body=body)
        return Embeddings(vectors=vectors, tokens_in=(said.usage_metadata or Usage()).prompt_token_count)


def _request(text: str, *, model: str, params: Params) -> dict[str, object]:
    fixed = {"model": resource(model), "content": {"parts": [{"text": text}]}}
    return request_body(fixed, params, model=bare(model), rules={})
