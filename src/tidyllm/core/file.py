"""A file that a provider keeps for us."""

import msgspec


class FileInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One file as its provider reports it."""

    id: str
    filename: str | None = None
    purpose: str | None = None
    bytes: int | None = None
    created_at: int | None = None
    """Seconds since 1970 UTC."""
    expires_at: int | None = None
    """Seconds since 1970 UTC; null where it stays until deleted."""
