"""What the rows of a table ask, as conversations: by a template or a function, with images and files beside them."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from tidyllm.client.capabilities import name_of
from tidyllm.client.media import MediaColumns
from tidyllm.client.rows import Attaching, Prompt, asker, attached
from tidyllm.client.spool import Spool
from tidyllm.core.errors import SettingError
from tidyllm.core.message import Conversation
from tidyllm.dialect import ChatDialect
from tidyllm.provider import Model

if TYPE_CHECKING:
    from tidyllm.client.frame import Table


class Talks(msgspec.Struct, frozen=True):
    """Conversations that wait for an answer."""

    count: int
    each: Callable[[], Iterable[Conversation | SettingError]]
    """Yields them, from the first one on; in place of one whose files cannot be sent, why."""
    look: Callable[[], Iterable[Conversation | SettingError]]
    """Yields them too, but of images and files that lie on the disk only the beginnings."""

    def sure(self, *, whole: bool = True) -> Iterator[Conversation]:
        """Yield them, with or without the whole of their images and files. Raises SettingError for one not to be sent.

        That is for when nothing was sent yet; later it costs the one row alone.
        """
        for talk in self.each() if whole else self.look():
            if isinstance(talk, SettingError):
                raise talk
            yield talk

    def checked(self, chat: ChatDialect, *, model: str, whole: bool, called: str) -> Iterator[Conversation]:
        """Yield the same, and raise SettingError for an image or a file that a model does not take."""
        for number, talk in enumerate(self.sure(whole=whole), 1):
            for medium in talk.media:
                try:
                    chat.media.check(medium, model=model)
                except SettingError as fault:
                    raise SettingError(f"{called} {number} cannot be asked: {fault}") from fault
            yield talk


class Asks(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be asked of each row of a table."""

    prompt: Prompt
    system: str | None
    media: Sequence[str] | None
    """Columns whose cells are images and files."""

    @property
    def parts(self) -> dict[str, object]:
        """Return what of it can be written down; a function is known by what it makes alone."""
        prompt = self.prompt if isinstance(self.prompt, str) else None
        return {"prompt": prompt, "system": self.system, "media": self.media}


def table_talks(table: "Table", asks: Asks, *, model: Model, chat: ChatDialect, kept: bool) -> Talks:
    """Return the conversations that the rows of a table open with a model.

    A function is called once a row, now. Images and files are read as each row is asked, so that they are not all in
    memory. `kept` says that the rows are kept on the disk. Raises SettingError for what is wrong with all rows, or with
    what a function made of one.
    """
    ask = asker(asks.prompt, asks.system, columns=table.columns)
    # What a function makes is kept: it may be slow, and no request is to wait for it, nor is it to be asked twice.
    said = Spool(ask(table.rows())).each if callable(asks.prompt) else lambda: ask(table.rows())
    if asks.media is None:
        return Talks(table.height, said, said)
    check = partial(chat.media.check, model=name_of(model))
    found = MediaColumns(asks.media, columns=table.columns, check=check, kept=kept)
    each, look = (partial(_with_media, said, table, media=media) for media in (found.read, found.look))
    return Talks(table.height, each, look)


def digest_of(talks: Iterable[Conversation]) -> str:
    """Return a hash of all that conversations say, their images and files included."""
    state = hashlib.sha256()
    for talk in talks:
        state.update(msgspec.json.encode(talk) + b"\n")
    return state.hexdigest()


def _with_media(
    said: Callable[[], Iterable[Conversation]], table: "Table", *, media: Attaching
) -> Iterator[Conversation | SettingError]:
    return attached(said(), table.rows(), media=media)
