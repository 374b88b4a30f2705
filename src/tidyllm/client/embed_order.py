"""What is asked of a model that makes vectors: the texts, each of them once, cut into requests."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import msgspec

from tidyllm.client.targets import embed_name_of, embed_of
from tidyllm.core.embeddings import Embeddings
from tidyllm.core.errors import SettingError
from tidyllm.core.text import sendable
from tidyllm.core.wire import Call
from tidyllm.dialect import EmbedDialect, Site
from tidyllm.provider import Model

if TYPE_CHECKING:
    from tidyllm.client.vector_frame import Texts


OnError: TypeAlias = Literal["row", "raise"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and of whom."""

    model: Model
    name: str
    dialect: EmbedDialect
    texts: list[str | None]
    """Of each row; null or empty where there is none, which only a table may have."""
    source: "Texts | None"
    """The table or column that they came in; null for a list."""
    parts: list[list[str]]
    """The texts of each request, no text twice."""
    raises: bool
    """Whether a failure in a table is an exception at the end."""

    @property
    def by_row(self) -> bool:
        """Return whether what goes wrong with a text is told in its row."""
        return self.source is not None and self.source.by_row

    def calls(self, site: Site) -> list[Call[Embeddings]]:
        """Return the requests' calls."""
        return [self.dialect.embed(site, part, model=self.name, params=self.model.params) for part in self.parts]


def ordered(data: object, model: Model, *, column: str | None, on_error: OnError) -> Order:
    """Return what is to be asked so that the texts in the data have vectors. Raises SettingError for what is wrong."""
    if on_error not in get_args(OnError):
        raise SettingError(f'on_error= is "row" or "raise", not {on_error!r}.')
    dialect, name = embed_of(model), embed_name_of(model)
    texts, source = _read(data, column=column)
    distinct = list(dict.fromkeys(text for text in texts if text))
    parts = list(_parts(distinct, inputs_max=dialect.inputs_max, bytes_max=dialect.bytes_max))
    return Order(
        model=model, name=name, dialect=dialect, texts=texts, source=source, parts=parts, raises=on_error == "raise"
    )


def _read(data: object, *, column: str | None) -> "tuple[list[str | None], Texts | None]":
    """Return the texts, and what they came in. Raises SettingError for what no vector can be made of."""
    if isinstance(data, str | list):
        if column is not None:
            raise SettingError("column= says which column of a table holds the texts, and this is no table.")
        return _checked([data] if isinstance(data, str) else data), None
    # Imported here, because it loads polars.
    from tidyllm.client.vector_frame import read_texts  # noqa: PLC0415

    source = read_texts(data, column=column)
    return source.texts if source.by_row else _checked(source.texts), source


def _checked(texts: Sequence[object]) -> list[str | None]:
    """Return the texts. Raises SettingError for what no vector stands for, and for what no request can hold."""
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise SettingError(f"Text {number} is no text but {type(text).__name__}: fill it or leave it out.")
        if not text:
            raise SettingError(f"Text {number} is empty, and no vector stands for nothing: leave it out.")
    return [sendable(text, called=f"Text {number}") for number, text in enumerate(texts, 1)]


def _parts(texts: Sequence[str], *, inputs_max: int, bytes_max: int) -> Iterator[list[str]]:
    """Yield the texts of each request: as many as it may hold, but one at least, however long it is."""
    part: list[str] = []
    part_bytes = 0
    for text in texts:
        text_bytes = len(text.encode())
        if part and (len(part) == inputs_max or part_bytes + text_bytes > bytes_max):
            yield part
            part, part_bytes = [], 0
        part.append(text)
        part_bytes += text_bytes
    if part:
        yield part
