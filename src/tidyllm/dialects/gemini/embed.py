"""Texts and images into vectors; spec/gemini 6."""

from collections.abc import Sequence

import msgspec

from tidyllm.core.embeddings import Embeddings
from tidyllm.core.errors import BadAnswerError
from tidyllm.core.media import Media
from tidyllm.core.params import Params
from tidyllm.core.rules import Rule
from tidyllm.core.wire import Call, Request
from tidyllm.dialect import Site
from tidyllm.dialects.embedding import check_inputs, embedding_body, fitting
from tidyllm.dialects.errors import decode, success
from tidyllm.dialects.gemini.chat_shapes import Usage
from tidyllm.dialects.gemini.names import bare, resource, url_path
from tidyllm.dialects.gemini.parts import media_part
from tidyllm.dialects.media import NO_MEDIA, MediaTaken
from tidyllm.dialects.usage import read_usage
from tidyllm.dialects.vectors import packed

_DIMENSIONS = Rule(field="outputDimensionality", low=128, high=3072)


class Embedding(msgspec.Struct, frozen=True):
    """One vector."""

    values: list[float] | None = None


class EmbeddingList(msgspec.Struct, frozen=True, rename="camel"):
    """The vectors of a request's texts, in their order."""

    embeddings: list[Embedding] | None = None
    usage_metadata: object = None


class EmbedContents(msgspec.Struct, frozen=True, kw_only=True):
    """The API that takes several texts at once; each is a request in the request."""

    inputs_max: int = 100
    bytes_max: int = 300_000
    """How many bytes they may have; a text takes up to 2,048 tokens, and 4 MB were too much."""
    media: MediaTaken = NO_MEDIA

    def embed(self, site: Site, inputs: Sequence[str | Media], *, model: str, params: Params) -> Call[Embeddings]:
        """Return one vector an input, in their order; fields of `extra=` are said of each.

        Raises SettingError for an image that the model does not take, and BadAnswerError for an answer that has not one
        vector for each.
        """
        check_inputs(inputs, self.media, model=bare(model))
        response = yield Request(
            method="POST",
            url=f"{site.base_url}{url_path(model)}:batchEmbedContents",
            headers=site.says(("content-type", "application/json")),
            body=msgspec.json.encode({"requests": [_request(one, model=model, params=params) for one in inputs]}),
            auth=site.auth,
            lane=site.lane(bare(model)),
            timeout_s=site.timeout_s,
        )
        body = success(response, site)
        said = decode(body, EmbeddingList, site=site)
        try:
            vectors = fitting([packed(one.values or ()) for one in said.embeddings or []], texts=len(inputs))
        except ValueError as fault:
            raise BadAnswerError(f"{site.provider} answered with unusable vectors: {fault}.", body=body) from fault
        usage = read_usage(said.usage_metadata, Usage)
        return Embeddings(vectors=vectors, count=len(inputs), tokens_in=usage.prompt_token_count)


def _request(given: str | Media, *, model: str, params: Params) -> dict[str, object]:
    # Several parts of one content would be one vector.
    part = media_part(given) if isinstance(given, Media) else {"text": given}
    fixed = {"model": resource(model), "content": {"parts": [part]}}
    return embedding_body(fixed, params, model=bare(model), dimensions=_DIMENSIONS)
