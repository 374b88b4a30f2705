"""What the rows of a batch ask: of a table, or of a list of texts or conversations; each as one request."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tidyllm.client.calls import first_request
from tidyllm.client.capabilities import batch_chat_of, batch_embed_path_of, batches_of, embed_name_of, embed_of, name_of
from tidyllm.client.jobs import JobKind, JobRecord
from tidyllm.client.table_talks import Asks, Talks, digest_of, table_talks
from tidyllm.core.crossing import Listener, told
from tidyllm.core.errors import SettingError
from tidyllm.core.message import Conversation, UserTurn
from tidyllm.core.schema import Schema
from tidyllm.core.text import sendable
from tidyllm.provider import Model

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame

Bodies = Iterable[tuple[int, Mapping[str, object]]]
"""Numbers of rows, from 1, and the body of the request of each; rows that ask nothing are left out."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that ask."""

    kind: JobKind
    height: int
    path: str
    """The endpoint that they ask."""
    bodies: Callable[[], Bodies]
    """Yields the requests, from the first on."""
    talks: Callable[[], Iterable[Conversation]] = tuple
    """Yields the conversations that they open, where they do; sooner than the requests."""
    save: Callable[[Path, list[str]], None]
    """Writes the rows as Parquet, each with the id of its request."""
    parts: Mapping[str, object]
    """What they are made of."""
    differs: Callable[[Path, JobRecord], str | None]
    """Says where the first difference is from the rows that a job has saved."""


def rows_asked(
    data: "list[str] | IntoDataFrame",
    model: Model,
    *,
    asks: Asks,
    schema: Schema | None,
    prefix: str,
) -> Asked:
    """Return what the rows of a table ask of a model that chats. Raises SettingError for what is wrong with them."""
    # Imported here, because it loads polars.
    from tidyllm.client.batch_frame import row_that_differs  # noqa: PLC0415
    from tidyllm.client.frame import read_table  # noqa: PLC0415

    chat = batch_chat_of(model)
    table = read_table(data, schema=schema, prefix=prefix)
    _refuse_empty(table.height)
    talks = table_talks(table, asks, model=model, chat=chat, kept=True)
    # What a function makes, and what is in files, is known by what is asked alone.
    by_content = callable(asks.prompt) or asks.media is not None
    seen = talks.checked(chat, model=name_of(model), whole=True, called="Row")
    parts: dict[str, object] = {
        **asks.parts,
        "columns": table.columns,
        "data": table.digest(),
        "asked": digest_of(seen) if by_content else None,
    }
    return Asked(
        kind=table.kind,
        height=table.height,
        path=chat.path,
        bodies=lambda: _chat_bodies(talks.sure(), model, schema=schema),
        talks=lambda: talks.sure(whole=False),
        save=table.save,
        parts=parts,
        differs=lambda path, record: row_that_differs(table, path, record=record),
    )


def talks_asked(data: list[str | Conversation], model: Model, *, schema: Schema | None) -> Asked:
    """Return what a list of conversations asks. Raises SettingError for one that does not end with the user's turn."""
    # Imported here, because it loads polars.
    from tidyllm.client.batch_frame import save_talks, talk_that_differs  # noqa: PLC0415

    chat = batch_chat_of(model)
    talks = [_opened(one, number) for number, one in enumerate(data, 1)]
    several = Talks(len(talks), lambda: talks, lambda: talks)
    seen = several.checked(chat, model=name_of(model), whole=True, called="Conversation")
    return Asked(
        kind="messages",
        height=len(talks),
        path=chat.path,
        bodies=lambda: _chat_bodies(talks, model, schema=schema),
        save=lambda path, ids: save_talks(path, talks, ids=ids),
        parts={"asked": digest_of(seen)},
        differs=lambda path, _: talk_that_differs(talks, path),
    )


def texts_asked(data: "list[str] | IntoDataFrame", model: Model, *, column: str, prefix: str) -> Asked:
    """Return what the texts of a column ask of a model that makes vectors; a row without a text asks nothing."""
    # Imported here, because it loads polars.
    from tidyllm.client.batch_frame import row_that_differs  # noqa: PLC0415
    from tidyllm.client.frame import read_table  # noqa: PLC0415
    from tidyllm.client.vector_frame import NEW_COLUMNS  # noqa: PLC0415

    path = batch_embed_path_of(model)
    table = read_table(data, prefix=prefix, adds=NEW_COLUMNS)
    _refuse_empty(table.height)
    texts = table.texts(column)
    return Asked(
        kind=table.kind,
        height=table.height,
        path=path,
        bodies=lambda: _embed_bodies(texts, model),
        save=table.save,
        parts={"embeds": column, "columns": table.columns, "data": table.digest()},
        differs=lambda path, record: row_that_differs(table, path, record=record),
    )


def lines(asked: Asked, model: Model, *, ids: str, inline: bool) -> Iterator[tuple[int, bytes]]:
    """Yield the requests as they stand in a file, each with the number of its row."""
    line = batches_of(model).line
    for number, body in asked.bodies():
        yield number, line(f"{ids}-{number}", path=asked.path, body=body, inline=inline)


def _chat_bodies(talks: Iterable[Conversation], model: Model, *, schema: Schema | None) -> Bodies:
    name, chat = name_of(model), batch_chat_of(model)
    listener = Listener(model.provider.name, name, chat.api)
    for number, talk in enumerate(talks, 1):
        yield number, chat.body(name, told(talk, listener), params=model.params, schema=schema)


def _embed_bodies(texts: Iterable[str | None], model: Model) -> Bodies:
    name, dialect, site = embed_name_of(model), embed_of(model), model.site
    for number, text in enumerate(texts, 1):
        if text:
            request = first_request(dialect.embed(site, [text], model=name, params=model.params))
            assert isinstance(request.body, bytes)  # noqa: S101 - no dialect uploads texts
            yield number, msgspec.json.decode(request.body)


def _opened(given: object, number: int) -> Conversation:
    if isinstance(given, str):
        return Conversation(turns=(UserTurn(sendable(given, called=f"Text {number}")),))
    if not isinstance(given, Conversation):
        raise SettingError(f"A list holds texts and conversations, not {type(given).__name__}.")
    if not (given.turns and isinstance(given.turns[-1], UserTurn)):
        raise SettingError(
            f"Conversation {number} of the list does not end with the user's turn: add one first, by .message(text)."
        )
    return Conversation(system=given.system, turns=given.turns)


def _refuse_empty(height: int) -> None:
    if height == 0:
        raise SettingError("The table has no rows: there is nothing to send.")
