"""Images and files as a user gives them: paths, bytes, URLs; alone, several at once, or in the columns of a table."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fsdecode
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.media import HEAD_BYTES, Kind, Media, check_size, medium_at, medium_of, type_of

T = TypeVar("T")

Source: TypeAlias = str | PathLike[str] | bytes | bytearray | memoryview
"""A path, an https URL, or bytes."""
Attached: TypeAlias = Media | Sequence[Media] | None
"""One or several."""
MEDIA_MAX = 1000
"""With one turn; providers take fewer."""

_SHOWN_CHARACTERS = 200
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|data:")


def image(source: Source) -> Media:
    """Return an image, for `llm_message(text, media=...)`: png, jpeg, gif or webp.

        llm_message("What is on this?", media=image("photo.jpg")).chat(claude())

    `source` is a path, bytes, or an https URL. A file is read at once, so that the conversation holds it; what is at a
    URL stays there, and the provider gets it. Raises SettingError for a file that is missing, empty or no such image.
    """
    return _made(source, kind=Kind.IMAGE)


def file(source: Source) -> Media:
    """Return a file, for `llm_message(text, media=...)`: a PDF, or a text in UTF-8.

        llm_message("Sum it up.", media=file("report.pdf")).chat(openai())

    `source` is as in `image`; a URL whose name does not tell is taken for that of a PDF. Which providers take what is
    in docs/providers.md. Raises SettingError for a file that is missing, empty or of another type.
    """
    return _made(source, kind=Kind.FILE)


def attached(given: Attached) -> tuple[Media, ...]:
    """Return the images and files that go with a text. Raises SettingError for what is none."""
    if given is None:
        return ()
    several = [given] if isinstance(given, Media) or not isinstance(given, Sequence) else given
    media = tuple(one for one in several if isinstance(one, Media))
    if len(media) < len(several):
        odd = next(one for one in several if not isinstance(one, Media))
        raise SettingError(f"media= takes image(...) and file(...), one or a list of them, not {type(odd).__name__}.")
    if len(media) > MEDIA_MAX:
        raise SettingError(f"media= takes at most {MEDIA_MAX:,} images and files with one text, not {len(media):,}.")
    return media


class Unread(msgspec.Struct, frozen=True):
    """An image or file that lies on the disk until it is asked about."""

    path: str
    kind: Kind | None = None

    def __str__(self) -> str:
        return self.path

    def read(self) -> Media:
        """Return it with its bytes. Raises SettingError as `image` does."""
        self.size()
        return medium_of(self._begin(-1), kind=self.kind, name=self._name, called=repr(self.path))

    def look(self) -> Media:
        """Return it with no more bytes than tell what it is. Raises SettingError where `read` would."""
        self.size()
        head = self._begin(HEAD_BYTES)
        mime_type = type_of(head, kind=self.kind, name=self._name, called=repr(self.path))
        return Media(mime_type=mime_type, data=head, name=self._name)

    def size(self) -> int:
        """Return how many bytes it has. Raises SettingError where it is missing, empty or too large."""
        path = Path(self.path)
        try:
            if not path.is_file():
                raise SettingError(f"There is no file {_shown(self.path)}, seen from {Path.cwd()}.")
            size = path.stat().st_size
        except (OSError, ValueError) as fault:
            raise _unreadable(self.path, fault) from fault
        check_size(size, called=repr(self.path))
        return size

    @property
    def _name(self) -> str:
        # Of a name that is no text in the system's encoding nothing can be sent but the letters that are.
        return Path(self.path).name.encode(errors="replace").decode()

    def _begin(self, count: int) -> bytes:
        try:
            with Path(self.path).open("rb") as opened:
                return opened.read(count)
        except OSError as fault:
            raise _unreadable(self.path, fault) from fault


def in_cell(value: object, *, kind: Kind | None = None) -> Media | Unread | None:
    """Return the image or file that a cell of a table means; null where it is missing. No file is read.

    Raises SettingError for a cell that means none.
    """
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, Media):
        return value
    if isinstance(value, bytes):
        return medium_of(value, kind=kind, called="What stands there")
    if isinstance(value, str) and _URL.match(value):
        return medium_at(value, kind=kind)
    if isinstance(value, str | PathLike):
        return Unread(fsdecode(value), kind)
    raise SettingError(f"It holds {type(value).__name__}, and not a path, an https URL, bytes, or image(...).")


def read(given: Media | Unread) -> Media:
    """Return an image or file with its bytes."""
    return given.read() if isinstance(given, Unread) else given


def look(given: Media | Unread) -> Media:
    """Return an image or file; one that lies on the disk with no more bytes than tell what it is."""
    return given.look() if isinstance(given, Unread) else given


def taken(
    value: object, take: Callable[[Media | Unread], T], *, number: int, column: str, kind: Kind | None = None
) -> T | None:
    """Return what `take` makes of a cell's image or file. Raises SettingError, naming row and column."""
    try:
        found = in_cell(value, kind=kind)
        return None if found is None else take(found)
    except SettingError as fault:
        raise SettingError(f"Row {number} has in the column {column!r} what cannot be sent: {fault}") from fault


class MediaColumns:
    """The columns of a table whose cells are images or files that go with what each row asks."""

    def __init__(
        self, names: Sequence[str], *, columns: Sequence[str], check: Callable[[Media], object], kept: bool
    ) -> None:
        self._names = names
        self._check = check
        """Raises SettingError for what the model does not take."""
        self._kept = kept
        """Whether the rows are kept on the disk."""
        for name in names:
            if name not in columns:
                raise SettingError(f"media= names a column {name!r}. The columns are: {', '.join(columns)}.")

    def read(self, row: Mapping[str, object], number: int) -> tuple[Media, ...]:
        """Return what goes with a row, its files read. Raises SettingError, naming row and column."""
        return self._each(row, read, number=number)

    def look(self, row: Mapping[str, object], number: int) -> tuple[Media, ...]:
        """Return it with no more of files than tells that they are there, and what they are."""
        return self._each(row, look, number=number)

    def _each(
        self, row: Mapping[str, object], take: Callable[[Media | Unread], Media], *, number: int
    ) -> tuple[Media, ...]:
        def checked(given: Media | Unread) -> Media:
            medium = take(given)
            self._check(medium)
            return medium

        found = (taken(self._plain(row[name]), checked, number=number, column=name) for name in self._names)
        return tuple(medium for medium in found if medium is not None)

    def _plain(self, value: object) -> object:
        if self._kept and isinstance(value, Media | PathLike):
            raise SettingError(
                "The rows of a batch, and of a run with a name=, are kept on the disk: give paths as texts, URLs, or "
                f"bytes in the columns of media=, not {type(value).__name__}."
            )
        return value


def _made(source: object, *, kind: Kind) -> Media:
    if isinstance(source, bytes | bytearray | memoryview):
        return medium_of(bytes(source), kind=kind, called=f"What {kind.value}() was given")
    if isinstance(source, str) and _URL.match(source):
        return medium_at(source, kind=kind)
    if isinstance(source, str | PathLike):
        return Unread(fsdecode(source), kind).read()
    raise SettingError(f"{kind.value}() takes a path, bytes, or an https URL, not {type(source).__name__}.")


def _unreadable(path: str, fault: Exception) -> SettingError:
    why = fault.strerror if isinstance(fault, OSError) and fault.strerror else fault
    return SettingError(f"{_shown(path)} cannot be read: {why}.")


def _shown(path: str) -> str:
    """Return a path for a message; what is too long for one may be anything."""
    return repr(path) if len(path) <= _SHOWN_CHARACTERS else f"{path[:_SHOWN_CHARACTERS]!r}…"
