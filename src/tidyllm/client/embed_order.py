"""What is asked of a model that makes vectors: the texts and images, each of them once, cut into requests."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import msgspec

from tidyllm.client.capabilities import embed_name_of, embed_of
from tidyllm.client.media import Unread, look, read, taken
from tidyllm.core.embeddings import Embeddings
from tidyllm.core.errors import SettingError, TidyllmError
from tidyllm.core.media import Kind, Media
from tidyllm.core.text import sendable
from tidyllm.core.wire import Call
from tidyllm.dialect import EmbedDialect, Site
from tidyllm.dialects.embedding import check_inputs
from tidyllm.provider import Model

if TYPE_CHECKING:
    from tidyllm.client.vector_frame import Inputs


OnError: TypeAlias = Literal["row", "raise"]
Input: TypeAlias = str | Media | Unread
"""What a vector stands for."""
Checked: TypeAlias = Callable[[Media | Unread], Input]
IMAGE_WEIGHS = 30_000
"""As how many bytes of text an image counts at least, where requests are cut: a small file can be a large image."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and of whom."""

    model: Model
    name: str
    dialect: EmbedDialect
    inputs: list[Input | None]
    """Of each row; null or empty where there is none, which only a table may have."""
    source: "Inputs | None"
    """The table or column that they came in; null for a list."""
    parts: list[list[Input]]
    """What each request asks about, nothing twice."""
    raises: bool
    """Whether a failure in a table is an exception at the end."""

    @property
    def by_row(self) -> bool:
        """Return whether what goes wrong with an input is told in its row."""
        return self.source is not None and self.source.by_row

    def calls(self, site: Site) -> list[Call[Embeddings]]:
        """Return the requests' calls; images that lie on the disk are read as each is sent."""
        return [self._call(part, site) for part in self.parts]

    def _call(self, part: Sequence[Input], site: Site) -> Call[Embeddings]:
        try:
            inputs = [one if isinstance(one, str) else read(one) for one in part]
        except SettingError as fault:  # It was there when the first was sent; the other requests go on.
            raise TidyllmError(str(fault)) from fault
        return (yield from self.dialect.embed(site, inputs, model=self.name, params=self.model.params))


def ordered(data: object, model: Model, *, column: str | None, media: str | None = None, on_error: OnError) -> Order:
    """Return what is to be asked so that what the data hold has vectors. Raises SettingError for what is wrong."""
    if on_error not in get_args(OnError):
        raise SettingError(f'on_error= is "row" or "raise", not {on_error!r}.')
    dialect, name = embed_of(model), embed_name_of(model)

    def checked(given: Media | Unread) -> Input:
        """Return an image that the model takes; what lies on the disk is looked at, and not read."""
        check_inputs([look(given)], dialect.media, model=name)
        return given

    inputs, source = _read(data, column=column, media=media, checked=checked)
    distinct = list(dict.fromkeys(one for one in inputs if one))
    # Those at a URL apart: not every API takes both kinds at once; spec/voyage 3.
    apart = [one for one in distinct if isinstance(one, Media) and one.url is not None]
    together = [one for one in distinct if not (isinstance(one, Media) and one.url is not None)]
    parts = [part for some in (together, apart) for part in _parts(some, dialect)]
    return Order(
        model=model, name=name, dialect=dialect, inputs=inputs, source=source, parts=parts, raises=on_error == "raise"
    )


def read_media(part: Sequence[Input]) -> list[Media]:
    """Return the images of a request."""
    return [read(one) for one in part if not isinstance(one, str)]


def label(given: Input | None) -> str | None:
    """Return what a row of a table is called that has the vector of an input: the text, or the image's name or URL."""
    if isinstance(given, Media):
        return given.url or given.name or str(given)
    return given if given is None or isinstance(given, str) else str(given)


def _read(
    data: object, *, column: str | None, media: str | None, checked: Checked
) -> "tuple[list[Input | None], Inputs | None]":
    """Return the inputs, and what they came in. Raises SettingError for what no vector can be made of."""
    if isinstance(data, str | list | Media):
        for name, given in (("column", column), ("media", media)):
            if given is not None:
                raise SettingError(f"{name}= says which column of a table is meant, and this is no table.")
        return _listed(data if isinstance(data, list) else [data], checked), None
    # Imported here, because it loads polars.
    from tidyllm.client.vector_frame import read_cells, read_texts  # noqa: PLC0415

    if media is None:
        source = read_texts(data, column=column)
        return [*source.texts] if source.by_row else _listed(source.texts, checked), source
    if column is not None:
        raise SettingError("A vector stands for a text or for an image: give column= or media=, not both.")
    source, cells = read_cells(data, column=media)
    return [
        taken(cell, checked, number=number, column=media, kind=Kind.IMAGE) for number, cell in enumerate(cells, 1)
    ], source


def _listed(given: Sequence[object], checked: Checked) -> list[Input | None]:
    """Return the inputs. Raises SettingError for what no vector stands for, and for what no request can hold."""
    found: list[Input | None] = []
    for number, one in enumerate(given, 1):
        if isinstance(one, Media):
            found.append(checked(one))
        elif not isinstance(one, str):
            raise SettingError(f"Text {number} is no text but {type(one).__name__}: fill it or leave it out.")
        elif not one:
            raise SettingError(f"Text {number} is empty, and no vector stands for nothing: leave it out.")
        else:
            found.append(sendable(one, called=f"Text {number}"))
    return found


def _parts(inputs: Sequence[Input], dialect: EmbedDialect) -> Iterator[list[Input]]:
    """Yield what each request asks about: as much as it may hold, but one at least, however long it is."""
    part: list[Input] = []
    part_bytes = 0
    for one in inputs:
        weight = _weight(one)
        if part and (len(part) == dialect.inputs_max or part_bytes + weight > dialect.bytes_max):
            yield part
            part, part_bytes = [], 0
        part.append(one)
        part_bytes += weight
    if part:
        yield part


def _weight(given: Input) -> int:
    """Return about how many bytes an input has in a request."""
    if isinstance(given, str):
        return len(given.encode())
    size = given.size() if isinstance(given, Unread) else len(given.data)
    return max(size * 4 // 3, IMAGE_WEIGHS)
