"""Embeddings as OpenAI has them: what a request says and how its vectors are read; spec/openai-chat 7."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from tidyllm.core.embeddings import Embeddings
from tidyllm.core.errors import BadAnswerError
from tidyllm.core.params import Params
from tidyllm.core.rules import Family, Fields, Rule
from tidyllm.core.wire import MIB, Call, Request
from tidyllm.dialect import Site
from tidyllm.dialects.embedding import embedding_body, fitting
from tidyllm.dialects.errors import decode, success
from tidyllm.dialects.vectors import from_base64_floats, from_base64_int8, packed

_BODY_BYTES_MAX = 256 * MIB
"""2,048 vectors of 4,096 numbers are 90 MiB when they are written as decimal figures."""
_READERS: Mapping[str, Callable[[str], bytes]] = {"base64_int8": from_base64_int8}
"""What reads a text in place of numbers, by the encoding that was asked for, unless it holds floats."""


class EmbeddingsApi(msgspec.Struct, frozen=True, kw_only=True):
    """The API for embeddings, with what differs between those who have it."""

    path: str = "/embeddings"
    inputs_max: int = 2048
    """How many texts one request may hold."""
    bytes_max: int = 300_000
    """How many bytes they may have: a text has no more tokens than bytes. OpenAI takes 300,000 tokens at once, and the
    120,000 of others are seldom passed by so much text; spec/openai-chat 7, voyage 2, perplexity 5."""
    encoding: str = "base64"
    """How the vectors are asked for: `base64`, a quarter of the size; `base64_int8`; or `float`, figures."""
    dimensions_field: str | None = "dimensions"
    """Which field tells how long the vectors are to be; null where that cannot be told."""
    fixed: Fields = {}
    """What every request says besides, and no `extra=` may change: the vectors could not be read otherwise."""
    families: tuple[Family, ...] = ()
    """Models that differ, and what is said unless `extra=` says otherwise."""

    def embed(self, site: Site, texts: Sequence[str], *, model: str, params: Params) -> Call[Embeddings]:
        """Return one vector a text, in their order. Raises SettingError for parameters that do not go with it.

        Raises BadAnswerError for an answer that has not one vector for each text, or vectors of several lengths.
        """
        response = yield Request(
            method="POST",
            url=site.base_url + self.path,
            headers=site.says(("content-type", "application/json")),
            body=msgspec.json.encode(self._body(texts, model=model, params=params)),
            auth=site.auth,
            lane=site.lane(model),
            timeout_s=site.timeout_s,
            body_bytes_max=_BODY_BYTES_MAX,
        )
        body = success(response, site)
        said = decode(body, _Answer, site=site)
        try:
            vectors = _ordered(said.data, count=len(texts), read=_READERS.get(self.encoding, from_base64_floats))
        except ValueError as fault:
            raise BadAnswerError(f"{site.provider} answered with unusable vectors: {fault}.", body=body) from fault
        return Embeddings(
            vectors=vectors, count=len(texts), model=said.model or None, tokens_in=(said.usage or _Usage()).tokens()
        )

    def _body(self, texts: Sequence[str], *, model: str, params: Params) -> dict[str, object]:
        rule = Rule(field=self.dimensions_field, low=1)
        if self.dimensions_field is None:
            rule = Rule(refusal="Its vectors have the length that the model gives them.")
        fixed = {"model": model, "input": texts, "encoding_format": self.encoding, **self.fixed}
        return embedding_body(fixed, params, model=model, dimensions=rule, families=self.families)


class _Item(msgspec.Struct, frozen=True):
    """One vector; a text where base64 was asked for, but some servers write figures all the same."""

    embedding: list[float] | str
    index: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    """Tokens; Voyage counts them in total alone; spec/voyage 2."""

    prompt_tokens: int | None = None
    total_tokens: int | None = None

    def tokens(self) -> int | None:
        """Return how many tokens the texts had."""
        return self.total_tokens if self.prompt_tokens is None else self.prompt_tokens


class _Answer(msgspec.Struct, frozen=True):
    data: list[_Item]
    model: str | None = None
    usage: _Usage | None = None


def _ordered(items: Sequence[_Item], *, count: int, read: Callable[[str], bytes]) -> bytes:
    """Return the vectors in the order of their texts, in one piece. Raises ValueError where they do not fit these."""
    vectors: dict[int, bytes] = {}
    for place, item in enumerate(items):
        index = place if item.index is None else item.index
        vectors[index] = read(item.embedding) if isinstance(item.embedding, str) else packed(item.embedding)
    if len(items) == count and sorted(vectors) != list(range(count)):
        raise ValueError("they do not say which text each of them stands for")
    return fitting([vectors[index] for index in sorted(vectors)], texts=count)
