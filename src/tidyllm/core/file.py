"""A file that a provider keeps for us."""

import msgspec


class FileInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One file as its provider reports it."""

    id: str
