"""Images and files that go with what a user says: their bytes, or where these are, and what they are."""

import codecs
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath, PurePosixPath
from urllib.parse import unquote, urlsplit

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.text import sendable
from tidyllm.core.wire import MIB

BYTES_MAX = 50 * MIB
"""Of one image or file; providers take less, as a rule."""
URL_CHARACTERS_MAX = 8192
HEAD_BYTES = 1024
"""So much of its beginning tells what a file is."""

PNG, JPEG, GIF, WEBP = "image/png", "image/jpeg", "image/gif", "image/webp"
IMAGES = (PNG, JPEG, GIF, WEBP)
SOME_IMAGE = "image/*"
"""What is at a URL that does not tell which kind of image it is."""
PDF = "application/pdf"
PLAIN = "text/plain"

_BY_ENDING: Mapping[str, str] = {
    ".png": PNG,
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".gif": GIF,
    ".webp": WEBP,
    ".pdf": PDF,
    ".txt": PLAIN,
    ".log": PLAIN,
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".html": "text/html",
    ".htm": "text/html",
}
_SIGNS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"\xff\xd8\xff", JPEG),
    (b"GIF87a", GIF),
    (b"GIF89a", GIF),
    (b"%PDF-", PDF),
)
"""How files of these kinds begin; WebP has its sign further on."""
_KNOWN = "png, jpeg, gif, webp, pdf, and texts: txt, log, md, csv, tsv, html"


class Kind(str, Enum):
    """What a model makes of it."""

    IMAGE = "image"
    FILE = "file"
    """A document or a text."""


class Media(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image or a file; made by `image` and `file`, never changed."""

    mime_type: str
    """`image/png`, `application/pdf`; `image/*` where a URL does not tell."""
    data: bytes = b""
    """Its bytes; empty where it stays at its URL."""
    url: str | None = None
    """Where the provider is to get it from."""
    name: str | None = None
    """Of the file, without its folder."""

    def __post_init__(self) -> None:
        """Refuse what is neither bytes nor a URL, or both; what reads JSON tells of it in its own way."""
        if bool(self.data) == (self.url is not None):
            raise ValueError("an image or file has either bytes or a URL")

    @property
    def kind(self) -> Kind:
        """Return what a model makes of it."""
        return Kind.IMAGE if self.mime_type.startswith("image/") else Kind.FILE

    @property
    def text(self) -> str:
        """Return what a file of text says."""
        return self.data.decode()

    def __str__(self) -> str:
        place = () if self.url is None else (self.url.partition("?")[0],)
        size = () if self.url is not None else (f"{len(self.data):,} bytes",)
        return ", ".join((*place, *((self.name,) if self.name and not place else ()), self.mime_type, *size))

    def __repr__(self) -> str:
        return f"Media({self})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        size = None if self.url is not None else f"{len(self.data):,} bytes"
        url = None if self.url is None else self.url.partition("?")[0]
        told = {"mime_type": self.mime_type, "url": url, "name": self.name, "size": size}
        return [(name, value) for name, value in told.items() if value is not None]


def medium_of(data: bytes, *, kind: Kind | None = None, name: str | None = None, called: str) -> Media:
    """Return the image or file that some bytes are; `name` is the file's, `called` is what messages call it.

    Raises SettingError for bytes that are not what the name says, or nothing that is known, or not of the kind.
    """
    check_size(len(data), called=called)
    mime_type = type_of(data[:HEAD_BYTES], kind=kind, name=name, called=called)
    if mime_type.startswith("text/") and not _is_text(data, whole=True):
        raise _no_text(called)
    return Media(mime_type=mime_type, data=data, name=name)


def medium_at(url: str, *, kind: Kind | None = None) -> Media:
    """Return the image or file that is at a URL; nothing is fetched. Without a kind it is an image, unless the name
    tells otherwise.

    Raises SettingError for a URL that no provider could get it from.
    """
    sendable(url, called="A URL")
    shown = url.partition("?")[0][:100]
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.username is None and parts.password is None
    except ValueError as fault:
        raise SettingError(f"{shown!r} is no URL: {fault}.") from fault
    if parts.scheme != "https" or not is_whole or len(url) > URL_CHARACTERS_MAX:
        raise SettingError(
            f"Images and files are taken from https:// URLs without a user, of at most {URL_CHARACTERS_MAX:,} "
            f"characters, and not from {shown!r}: give the file's path or its bytes."
        )
    name = PurePosixPath(unquote(parts.path)).name or None
    named = _BY_ENDING.get(_ending(name))
    if named is not None:
        _check_kind(named, kind=kind, called=repr(shown))
    usual = PDF if kind is Kind.FILE else SOME_IMAGE
    return Media(mime_type=named or usual, url=url, name=name)


def type_of(head: bytes, *, kind: Kind | None, name: str | None, called: str) -> str:
    """Return which type of image or file begins so. Raises SettingError as `medium_of` does."""
    found, named = _sign(head), _BY_ENDING.get(_ending(name))
    if named is not None and found != (None if named.startswith("text/") else named):
        raise SettingError(
            f"{called} is called {name!r} but is {found or 'something else'}, and no {named}: rename it, or look at it."
        )
    told = found or named
    if told is None and not _ending(name) and _is_text(head, whole=False):
        told = PLAIN
    if told is None:
        raise SettingError(f"{called} is of a type that is not known. These are: {_KNOWN}.")
    if told.startswith("text/") and not _is_text(head, whole=False):
        raise _no_text(called)
    _check_kind(told, kind=kind, called=called)
    return told


def check_size(size: int, *, called: str) -> None:
    """Raise SettingError for what is empty or too large."""
    if size == 0:
        raise SettingError(f"{called} is empty: there is nothing to send.")
    if size > BYTES_MAX:
        raise SettingError(f"{called} has {size:,} bytes; at most {BYTES_MAX:,} are taken.")


def _check_kind(mime_type: str, *, kind: Kind | None, called: str) -> None:
    is_image = mime_type.startswith("image/")
    if kind is Kind.IMAGE and not is_image:
        raise SettingError(f"{called} is {mime_type}, and no image: it goes with file(...).")
    if kind is Kind.FILE and is_image:
        raise SettingError(f"{called} is an image: it goes with image(...).")


def _sign(head: bytes) -> str | None:
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    return next((mime_type for sign, mime_type in _SIGNS if head.startswith(sign)), None)


def _is_text(data: bytes, *, whole: bool) -> bool:
    """Whether bytes are text in UTF-8; where they are only a beginning, a character may be cut at their end."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, final=whole)
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


def _no_text(called: str) -> SettingError:
    return SettingError(f"{called} is no text in UTF-8: save it as such.")


def _ending(name: str | None) -> str:
    return "" if name is None else PurePath(name).suffix.lower()
