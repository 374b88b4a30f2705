"""Ollama's embeddings; spec/ollama 4."""

from collections.abc import Sequence

import msgspec

from tidyllm.core.embeddings import Embeddings
from tidyllm.core.errors import BadAnswerError
from tidyllm.core.media import Media
from tidyllm.core.params import Params
from tidyllm.core.rules import Family, Rule
from tidyllm.core.wire import MIB, Call, Request
from tidyllm.dialect import Site
from tidyllm.dialects.embedding import check_inputs, embedding_body, fitting
from tidyllm.dialects.errors import decode, success
from tidyllm.dialects.media import NO_MEDIA, MediaTaken
from tidyllm.dialects.usage import read_count
from tidyllm.dialects.vectors import packed

# Otherwise the end of a long text is cut off, and nobody is told.
_NOTHING_LOST = Family(models=("*",), sends={"truncate": False})


class OllamaEmbed(msgspec.Struct, frozen=True, kw_only=True):
    """Ollama's API for embeddings."""

    inputs_max: int = 256
    """How many texts one request holds: no limit is documented, and a modest one is advised."""
    bytes_max: int = 300_000
    """How many bytes they may have: so that a request does not take minutes."""
    media: MediaTaken = NO_MEDIA

    def embed(self, site: Site, inputs: Sequence[str | Media], *, model: str, params: Params) -> Call[Embeddings]:
        """Return one vector a text, in their order. Raises SettingError for images, and parameters that do not fit.

        Raises BadAnswerError for an answer that has not one vector for each text, or vectors of several lengths.
        """
        check_inputs(inputs, self.media, model=model)
        fixed, dimensions = {"model": model, "input": inputs}, Rule(field="dimensions", low=1)
        response = yield Request(
            method="POST",
            url=f"{site.base_url}/api/embed",
            headers=site.says(("content-type", "application/json")),
            body=msgspec.json.encode(
                embedding_body(fixed, params, model=model, dimensions=dimensions, families=(_NOTHING_LOST,))
            ),
            auth=site.auth,
            lane=site.lane(model),
            timeout_s=site.timeout_s,
            body_bytes_max=256 * MIB,
        )
        body = success(response, site)
        said = decode(body, _Answer, site=site)
        try:
            vectors = fitting([packed(numbers) for numbers in said.embeddings], texts=len(inputs))
        except ValueError as fault:
            raise BadAnswerError(f"{site.provider} answered with unusable vectors: {fault}.", body=body) from fault
        tokens_in = read_count(said.prompt_eval_count)
        return Embeddings(vectors=vectors, count=len(inputs), model=said.model or None, tokens_in=tokens_in)


class _Answer(msgspec.Struct, frozen=True):
    embeddings: list[list[float]]
    model: str | None = None
    prompt_eval_count: object = None
