"""Vectors that stand for texts."""

import msgspec

_FLOAT_BYTES = 4


class Embeddings(msgspec.Struct, frozen=True, kw_only=True):
    """The vectors of several texts, all of one length, in the order of the texts."""

    vectors: bytes
    """One after the other, as 32-bit floats, little-endian: one piece of memory, however many there are."""
    count: int
    """Vectors, at least one."""
    model: str | None = None
    """The model that made them, in the provider's spelling."""
    tokens_in: int | None = None
    """Tokens of all the texts."""

    @property
    def length(self) -> int:
        """Return how many numbers a vector has."""
        return len(self.vectors) // self.count // _FLOAT_BYTES
