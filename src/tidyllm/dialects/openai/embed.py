"""Embeddings as OpenAI has them: what a request says and how its vectors are read; spec/openai-chat 7."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from tidyllm.core.embeddings import Embeddings
from tidyllm.core.errors import BadAnswerError
from tidyllm.core.media import Media
from tidyllm.core.params import Params
from tidyllm.core.rules import Family, Fields, Rule
from tidyllm.core.wire import MIB, Call, Request
from tidyllm.dialect import Site
from tidyllm.dialects.embedding import check_inputs, embedding_body, fitting
from tidyllm.dialects.errors import decode, success
from tidyllm.dialects.media import NO_MEDIA, MediaTaken, data_url
from tidyllm.dialects.usage import Count, read_usage
from tidyllm.dialects.vectors import from_base64_floats, from_base64_int8, packed

_BODY_BYTES_MAX = 256 * MIB
"""2,048 vectors of 4,096 numbers are 90 MiB when they are written as decimal figures."""
_READERS: Mapping[str, Callable[[str], bytes]] = {"base64_int8": from_base64_int8}
"""What reads a text in place of numbers, by the encoding that was asked for, unless it holds floats."""


class Mixed(msgspec.Struct, frozen=True, kw_only=True):
    """How models are asked that make vectors of images too: each input is a content of parts."""

    media: MediaTaken
    """Its `models` says which they are."""
    path: str | None = None
    """Where they are always asked so; null where only images make the difference, and the address is the same."""
    field: str = "input"
    named: bool = True
    """Whether a URL stands under a name of its own, `{"url": ...}`; else one with the bytes is of another type."""

    def content(self, given: str | Media) -> Mapping[str, object]:
        """Return an input."""
        return {"content": [self._part(given)]}

    def _part(self, given: str | Media) -> Mapping[str, object]:
        if not isinstance(given, Media):
            return {"type": "text", "text": given}
        if self.named:
            return {"type": "image_url", "image_url": {"url": data_url(given)}}
        kind = "image_base64" if given.url is None else "image_url"
        return {"type": kind, kind: data_url(given)}


class EmbeddingsApi(msgspec.Struct, frozen=True, kw_only=True):
    """The API for embeddings, with what differs between those who have it."""

    path: str = "/embeddings"
    inputs_max: int = 2048
    """How many inputs one request may hold."""
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
    mixed: Mixed | None = None
    """How images become vectors, if they do."""

    @property
    def media(self) -> MediaTaken:
        """Return which images may be among the inputs."""
        return NO_MEDIA if self.mixed is None else self.mixed.media

    def embed(self, site: Site, inputs: Sequence[str | Media], *, model: str, params: Params) -> Call[Embeddings]:
        """Return one vector an input, in their order. Raises SettingError for what does not go with it.

        Raises BadAnswerError for an answer that has not one vector for each input, or vectors of several lengths.
        """
        check_inputs(inputs, self.media, model=model)
        mixed = self._mixed(inputs, model=model)
        response = yield Request(
            method="POST",
            url=site.base_url + (self.path if mixed is None else mixed.path or self.path),
            headers=site.says(("content-type", "application/json")),
            body=msgspec.json.encode(self._body(inputs, model=model, params=params)),
            auth=site.auth,
            lane=site.lane(model),
            timeout_s=site.timeout_s,
            body_bytes_max=_BODY_BYTES_MAX,
        )
        body = success(response, site)
        said = decode(body, _Answer, site=site)
        try:
            vectors = _ordered(said.data, count=len(inputs), read=_READERS.get(self.encoding, from_base64_floats))
        except ValueError as fault:
            raise BadAnswerError(f"{site.provider} answered with unusable vectors: {fault}.", body=body) from fault
        return Embeddings(
            vectors=vectors,
            count=len(inputs),
            model=said.model or None,
            tokens_in=read_usage(said.usage, _Usage).tokens(),
        )

    def _mixed(self, inputs: Sequence[str | Media], *, model: str) -> Mixed | None:
        """Return how the inputs are said as contents; null where they are plain texts."""
        if self.mixed is None or not self.mixed.media.reach(model):
            return None
        has_images = any(isinstance(one, Media) for one in inputs)
        return self.mixed if has_images or self.mixed.path is not None else None

    def _body(self, inputs: Sequence[str | Media], *, model: str, params: Params) -> dict[str, object]:
        rule = Rule(field=self.dimensions_field, low=1)
        if self.dimensions_field is None:
            rule = Rule(refusal="Its vectors have the length that the model gives them.")
        mixed = self._mixed(inputs, model=model)
        said = {"input": inputs} if mixed is None else {mixed.field: [mixed.content(one) for one in inputs]}
        # The other address knows nothing of these.
        also = self.fixed if mixed is None or mixed.path is None else {}
        fixed = {"model": model, **said, "encoding_format": self.encoding, **also}
        return embedding_body(fixed, params, model=model, dimensions=rule, families=self.families)


class _Item(msgspec.Struct, frozen=True):
    """One vector; a text where base64 was asked for, but some servers write figures all the same."""

    embedding: list[float] | str
    index: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    """Tokens; Voyage counts them in total alone; spec/voyage 2."""

    prompt_tokens: Count | None = None
    total_tokens: Count | None = None

    def tokens(self) -> int | None:
        """Return how many tokens the texts had."""
        return self.total_tokens if self.prompt_tokens is None else self.prompt_tokens


class _Answer(msgspec.Struct, frozen=True):
    data: list[_Item]
    model: str | None = None
    usage: object = None


def _ordered(items: Sequence[_Item], *, count: int, read: Callable[[str], bytes]) -> bytes:
    """Return the vectors in the order of their texts, in one piece. Raises ValueError where they do not fit these."""
    vectors: dict[int, bytes] = {}
    for place, item in enumerate(items):
        index = place if item.index is None else item.index
        vectors[index] = read(item.embedding) if isinstance(item.embedding, str) else packed(item.embedding)
    if len(items) == count and sorted(vectors) != list(range(count)):
        raise ValueError("they do not say which text each of them stands for")
    return fitting([vectors[index] for index in sorted(vectors)], texts=count)
