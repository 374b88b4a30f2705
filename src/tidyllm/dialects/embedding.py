"""What all APIs for embeddings share: what goes with vectors, and whether vectors fit what they stand for."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.media import SOME_IMAGE, Media
from tidyllm.core.params import Params
from tidyllm.core.rules import Family, Rule, request_body
from tidyllm.dialects.media import MediaTaken, Who

WHO: Who = (
    ((SOME_IMAGE,), 'These do: voyage("voyage-multimodal-3.5"), gemini("gemini-embedding-2"), some of openrouter().'),
)
"""Who makes vectors of what."""
_TAKEN = ("dimensions", "model_family", "extra")


def embedding_body(
    fixed: Mapping[str, object], params: Params, *, model: str, dimensions: Rule, families: tuple[Family, ...] = ()
) -> dict[str, object]:
    """Return a request's body. Raises SettingError for a parameter that does not go with vectors."""
    for name, value in msgspec.structs.asdict(params).items():
        if value is not None and name not in _TAKEN:
            raise SettingError(f"embed takes no {name}=. It takes: dimensions, extra.")
    return request_body(fixed, params, model=model, rules={"dimensions": dimensions}, families=families)


def check_inputs(inputs: Iterable[str | Media], taken: MediaTaken, *, model: str) -> None:
    """Raise SettingError for an image that the model makes no vector of."""
    for one in inputs:
        if isinstance(one, Media):
            taken.check(one, model=model, who=WHO)


def fitting(vectors: Sequence[bytes], *, texts: int) -> bytes:
    """Return the vectors in one piece, if there is one for each text, all of one length. Raises ValueError."""
    if len(vectors) != texts:
        raise ValueError(f"there are {len(vectors)} for {texts} texts")
    lengths = {len(vector) for vector in vectors}
    if len(lengths) > 1 or 0 in lengths:
        raise ValueError("they are not all of one length, or empty")
    return b"".join(vectors)
