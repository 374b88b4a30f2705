"""Ollama's embeddings; spec/ollama 4."""

from collections.abc import Sequence

import msgspec

from tidyllm.core.embeddings import Embeddings
from tidyllm.core.errors import BadAnswerError, SettingError
from tidyllm.core.params import Params
from tidyllm.core.rules import Family, Rule, request_body
from tidyllm.core.wire import MIB, Call, Request
from tidyllm.dialect import Site
from tidyllm.dialects.errors import decode, success
from tidyllm.dialects.vectors import packed

# Otherwise the end of a long text is cut off, and nobody is told.
_NOTHING_LOST = Family(models=("*",), sends={"truncate": False})
_TAKEN = ("dimensions", "model_family", "extra")


class OllamaEmbed(msgspec.Struct, frozen=True, kw_only=True):
    """Ollama's API for embeddings."""

    inputs_max: int = 256
    """How many texts one request holds: no limit is documented, and a modest one is advised."""

    def embed(self, site: Site, texts: Sequence[str], *, model: str, params: Params) -> Call[Embeddings]:
        """Return one vector a text, in their order. Raises SettingError for parameters that do not go with it.

        Raises BadAnswerError for an answer that has not one vector for each text, or vectors of several lengths.
        """
        for name, value in msgspec.structs.asdict(params).items():
            if value is not None and name not in _TAKEN:
                raise SettingError(f"embed takes no {name}=. It takes: dimensions, extra.")
        fixed = {"model": model, "input": texts}
        rules = {"dimensions": Rule(field="dimensions", low=1)}
        response = yield Request(
            method="POST",
            url=f"{site.base_url}/api/embed",
            headers=(*site.headers, ("content-type", "application/json")),
            body=msgspec.json.encode(request_body(fixed, params, model=model, rules=rules, families=(_NOTHING_LOST,))),
            auth=site.auth,
            lane=f"{site.provider}/{model}",
            timeout_s=site.timeout_s,
            body_bytes_max=256 * MIB,
        )
        body = success(response, site)
        said = decode(body, _Answer, site=site)
        vectors = tuple(packed(numbers) for numbers in said.embeddings)
        if len(vectors) != len(texts) or len({len(vector) for vector in vectors}) > 1:
            raise BadAnswerError(
                f"{site.provider} answered with {len(vectors)} vectors for {len(texts)} texts, or not of one length.",
                body=body,
            )
        return Embeddings(vectors=vectors, model=said.model or None, tokens_in=said.prompt_eval_count)


class _Answer(msgspec.Struct, frozen=True):
    embeddings: list[list[float]]
    model: str | None = None
    prompt_eval_count: int | None = None
