"""From the rows of a table and a prompt template to what is asked of a model."""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.message import Conversation, UserTurn

TableKind: TypeAlias = Literal["polars", "pandas", "pyarrow"]
"""The tables that are taken; what comes in goes out."""
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

        Raises SettingError for a missing value, named by the row's 1-based `number`.
        """
        return "".join(_cell(row, text, number=number) if is_column else text for text, is_column in self.pieces)


def parse_template(text: str, *, what: str, columns: Sequence[str]) -> Template:
    """Return the template that a text is. Raises SettingError for a lone brace, or a column that there is not.

    `what` names the text in messages: `prompt` or `system`.
    """
    template = Template(tuple(_pieces(text, what)))
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
    prompt: str | None, system: str | None, *, columns: Sequence[str]
) -> Callable[[Iterable[Mapping[str, object]]], Iterator[Conversation]]:
    """Return a function from rows to the conversations that they open.

    `prompt` and `system` are templates over the columns. Raises SettingError where one of them is wrong, and where
    there is no prompt although the rows did not come as a plain list of texts.
    """
    if prompt is None:
        if list(columns) != [LIST_COLUMN]:
            example = columns[0] if columns else "text"
            raise SettingError(f'prompt= must say what to ask of each row, as in prompt="Explain: {{{example}}}".')
        prompt = f"{{{LIST_COLUMN}}}"
    user = parse_template(prompt, what="prompt", columns=columns)
    before = None if system is None else parse_template(system, what="system", columns=columns)

    def ask(rows: Iterable[Mapping[str, object]]) -> Iterator[Conversation]:
        for number, row in enumerate(rows, 1):
            question = UserTurn(user.fill(row, number=number))
            told = None if before is None else before.fill(row, number=number)
            yield Conversation(system=told, turns=(question,))

    return ask


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
    if isinstance(value, list | dict):
        return msgspec.json.encode(value).decode()
    return str(value)
