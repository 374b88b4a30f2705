"""From the rows of a table and a prompt template to what is asked of a model."""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.media import Media
from tidyllm.core.message import Conversation, UserTurn
from tidyllm.core.text import sendable

TableKind: TypeAlias = Literal["polars", "pandas", "pyarrow"]
"""The tables that are taken; what comes in goes out."""
Prompt: TypeAlias = str | Callable[[Mapping[str, object]], str | Conversation] | None
"""A template over the columns, or a function of a row; none where the rows came as a list of texts."""
Attaching: TypeAlias = Callable[[Mapping[str, object], int], tuple[Media, ...]]
"""Tells which images and files go with a row, which is given with its 1-based number."""
LIST_COLUMN = "prompt"
"""The column that a plain list of texts becomes."""

_PIECES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")


class Template(msgspec.Struct, frozen=True):
    """A text with places for columns, `"Explain: {text}"`; `{{` and `}}` stand for braces."""

    pieces: tuple[tuple[str, bool], ...]
    """Literal texts, and the names of columns, which are marked."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns it needs, in the order of their first use."""
        return tuple(dict.fromkeys(text for text, is_column in self.pieces if is_column))

    def fill(self, row: Mapping[str, object], *, number: int) -> str:
        """Return the text for one row; braces inside the data are data.

        Raises SettingError for a missing value, and for bytes, named by the row's 1-based `number`.
        """
        return "".join(_cell(row, text, number=number) if is_column else text for text, is_column in self.pieces)


def parse_template(text: str, *, what: str, columns: Sequence[str]) -> Template:
    """Return the template that a text is. Raises SettingError for what is no text, a lone brace, or a column that
    there is not.

    `what` names the text in messages: `prompt` or `system`.
    """
    template = Template(tuple(_pieces(sendable(text, called=f"{what}="), what)))
    for column in template.columns:
        if column not in columns:
            near = difflib.get_close_matches(column, columns, n=1)
            hint = f" Did you mean {{{near[0]}}}?" if near else " Write {{ and }} for braces that are meant as such."
            raise SettingError(f"{what}= asks for a column {column!r}. The columns are: {', '.join(columns)}.{hint}")
    return template


def row_ids(count: int) -> list[str]:
    """Return what the requests of so many rows are called, in their order."""
    return [f"row-{number}" for number in range(1, count + 1)]


def asker(
    prompt: Prompt, system: str | None, *, columns: Sequence[str]
) -> Callable[[Iterable[Mapping[str, object]]], Iterator[Conversation]]:
    """Return a function from rows to the conversations that they open.

    `prompt` and `system` are templates over the columns; `prompt` may be a function of a row as well. Raises
    SettingError where one of them is wrong, and where there is no prompt although the rows did not come as a plain list
    of texts.
    """
    if prompt is None:
        if list(columns) != [LIST_COLUMN]:
            example = columns[0] if columns else "text"
            raise SettingError(f'prompt= must say what to ask of each row, as in prompt="Explain: {{{example}}}".')
        prompt = f"{{{LIST_COLUMN}}}"
    said = _by_function(prompt) if callable(prompt) else _by_template(prompt, columns=columns)
    before = None if system is None else parse_template(system, what="system", columns=columns)

    def ask(rows: Iterable[Mapping[str, object]]) -> Iterator[Conversation]:
        for number, row in enumerate(rows, 1):
            talk = said(row, number)
            if before is not None:
                talk = msgspec.structs.replace(talk, system=before.fill(row, number=number))
            yield talk

    return ask


def attached(
    talks: Iterable[Conversation], rows: Iterable[Mapping[str, object]], *, media: Attaching
) -> Iterator[Conversation | SettingError]:
    """Yield what rows ask, with the images and files that go with each; in place of one that cannot be sent, why."""
    for number, (talk, row) in enumerate(zip(talks, rows, strict=True), 1):
        try:
            added = media(row, number)
        except SettingError as fault:
            yield fault
            continue
        if not added:
            yield talk
            continue
        last = talk.turns[-1]
        assert isinstance(last, UserTurn)  # noqa: S101 - every prompt ends with the user's turn
        turn = msgspec.structs.replace(last, media=(*last.media, *added))
        yield msgspec.structs.replace(talk, turns=(*talk.turns[:-1], turn))


def _by_template(prompt: str, *, columns: Sequence[str]) -> Callable[[Mapping[str, object], int], Conversation]:
    template = parse_template(prompt, what="prompt", columns=columns)
    return lambda row, number: Conversation(turns=(UserTurn(template.fill(row, number=number)),))


def _by_function(
    prompt: Callable[[Mapping[str, object]], object],
) -> Callable[[Mapping[str, object], int], Conversation]:
    def say(row: Mapping[str, object], number: int) -> Conversation:
        try:
            said = prompt(row)
        except Exception as fault:
            raise SettingError(f"prompt= is a function that failed at row {number}: {fault!r}.") from fault
        if isinstance(said, str):
            return Conversation(turns=(UserTurn(sendable(said, called=f"What prompt= made of row {number}")),))
        if not (isinstance(said, Conversation) and said.turns and isinstance(said.turns[-1], UserTurn)):
            raise SettingError(
                f"prompt= must make a text of a row, or a conversation that ends with the user's turn; of row {number} "
                f"it made {type(said).__name__}."
            )
        return said

    return say


def _pieces(text: str, what: str) -> Iterator[tuple[str, bool]]:
    for piece in _PIECES.finditer(text):
        found = piece.group()
        if piece.group(1) is not None:
            yield piece.group(1), True
        elif found in ("{{", "}}"):
            yield found[0], False
        elif found in ("{", "}"):
            raise SettingError(
                f"{what}= holds a lone {found!r} at character {piece.start() + 1}: write {found * 2!r} for a brace."
            )
        else:
            yield found, False


def _cell(row: Mapping[str, object], column: str, *, number: int) -> str:
    value = row[column]
    if isinstance(value, str):
        return value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise SettingError(
            f"Row {number} has no value in the column {column!r}, which the prompt needs: fill it or leave the row out."
        )
    if isinstance(value, bytes):
        raise SettingError(
            f"Row {number} has bytes in the column {column!r}, and a prompt is text: decode them, or give the column "
            "as media= where they are images or files."
        )
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return str(value)
