"""Vectors that stand for texts."""

import msgspec


class Embeddings(msgspec.Struct, frozen=True, kw_only=True):
    """The vectors of several texts, in the order of the texts."""

    vectors: tuple[bytes, ...]
    """Each as 32-bit floats, little-endian, one after the other."""
    model: str | None = None
    """The model that made them, in the provider's spelling."""
    tokens_in: int | None = None
    """Tokens of all the texts."""
