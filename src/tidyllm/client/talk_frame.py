"""A conversation as a table, one row a turn, and back; and its answers' tokens as one.

This module loads polars, half a second: the others of `client` import it where a table is made, and not before.
"""

from collections.abc import Iterable, Mapping

import msgspec
import polars as pl
from narwhals.typing import IntoDataFrame

from tidyllm.client.columns import bounded
from tidyllm.client.frame import plain_table
from tidyllm.core.errors import SettingError
from tidyllm.core.media import Media
from tidyllm.core.message import AssistantTurn, Conversation, Turn, UserTurn
from tidyllm.core.reply import Opaque, Reply, TokenLikelihood

_LIKELY = pl.Struct({"token": pl.String(), "logprob": pl.Float64()})
_TOKEN = {"token": pl.String(), "logprob": pl.Float64(), "alternatives": pl.List(_LIKELY)}
_CITATION = {"url": pl.String(), "title": pl.String(), "quote": pl.String(), "start": pl.Int64(), "end": pl.Int64()}
_OF_REPLY: Mapping[str, pl.DataType] = {
    "refusal": pl.String(),
    "thoughts": pl.String(),
    "citations": pl.List(pl.Struct(_CITATION)),
    "finish": pl.String(),
    "model": pl.String(),
    "provider": pl.String(),
    "asked": pl.String(),
    "tokens_in": pl.Int64(),
    "tokens_out": pl.Int64(),
    "tokens_cached": pl.Int64(),
    "tokens_reasoning": pl.Int64(),
    "cost": pl.Float64(),
    "seconds": pl.Float64(),
    "attempts": pl.Int64(),
    "id": pl.String(),
    "request_id": pl.String(),
    "logprobs": pl.List(pl.Struct(_TOKEN)),
    "opaque": pl.String(),
    "body": pl.Binary(),
}
"""Fields of a reply, but for its text, which is the row's content; `opaque` is JSON as a text."""
_MEDIUM = {"mime_type": pl.String(), "name": pl.String(), "url": pl.String(), "data": pl.Binary()}
_TURNS: Mapping[str, pl.DataType] = {
    "role": pl.String(),
    "content": pl.String(),
    "media": pl.List(pl.Struct(_MEDIUM)),
    **_OF_REPLY,
}
_TOKENS: Mapping[str, pl.DataType] = {"reply": pl.Int64(), **_TOKEN}
_TEXT = (pl.String, pl.Categorical, pl.Enum, pl.Null)
_ROLES = ("system", "user", "assistant")


def talk_frame(talk: Conversation) -> pl.DataFrame:
    """Return a table with one row a turn, the system prompt first; all its columns typed, whatever they hold."""
    system = [] if talk.system is None else [{"role": "system", "content": talk.system}]
    rows = [*system, *map(_row, talk.turns)]
    return pl.DataFrame(rows, schema=dict(_TURNS), orient="row")


def read_talk(table: IntoDataFrame) -> Conversation:
    """Return the conversation that a table tells, with whichever of an answer's fields have a column.

    Raises SettingError for a table that tells none.
    """
    frame = _typed(plain_table(table))
    system: str | None = None
    turns: list[Turn] = []
    for number, row in enumerate(frame.iter_rows(named=True), 1):
        role, content, media = row.pop("role"), row.pop("content"), row.pop("media", None)
        if role not in _ROLES:
            raise SettingError(f"Row {number} has the role {role!r}: there are {', '.join(_ROLES)}.")
        if role == "assistant":
            turns.append(AssistantTurn(_reply(row, content)))
        elif content is None:
            raise SettingError(f"Row {number}, of the {role}, has no content: fill it in, or leave the row out.")
        elif role == "user":
            turns.append(UserTurn(content, _media(media, number=number)))
        elif number == 1:
            system = content
        else:
            raise SettingError(f"Row {number} is of the system: it speaks once, in the first row. Move or merge it.")
    return Conversation(system=system, turns=tuple(turns))


def tokens_frame(replies: Iterable[Reply]) -> pl.DataFrame:
    """Return a table with one row a token of the answers, which are counted from 1; typed also where there is none."""
    rows = [
        {"reply": number, **_told_token(token)} for number, reply in enumerate(replies, 1) for token in reply.logprobs
    ]
    return pl.DataFrame(rows, schema=dict(_TOKENS), orient="row")


def _row(turn: Turn) -> dict[str, object]:
    if isinstance(turn, UserTurn):
        media = [{name: getattr(medium, name) for name in _MEDIUM} for medium in turn.media]
        return {"role": "user", "content": turn.text, "media": media}
    reply = turn.reply
    return {
        "role": "assistant",
        "content": reply.text,
        **{name: bounded(getattr(reply, name)) for name in _OF_REPLY},
        "citations": [msgspec.structs.asdict(citation) for citation in reply.citations],
        "logprobs": [_told_token(token) for token in reply.logprobs],
        "opaque": None if reply.opaque is None else msgspec.json.encode(reply.opaque).decode(),
    }


def _media(told: list[dict[str, object]] | None, *, number: int) -> tuple[Media, ...]:
    try:
        return tuple(
            msgspec.convert({name: value for name, value in one.items() if value is not None}, Media)
            for one in told or ()
        )
    except msgspec.ValidationError as fault:
        raise SettingError(f"Row {number} has media that to_frame() does not write: {fault}.") from fault


def _told_token(token: TokenLikelihood) -> dict[str, object]:
    alternatives = [msgspec.structs.asdict(likely) for likely in token.alternatives]
    return {"token": token.token, "logprob": token.logprob, "alternatives": alternatives}


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    """Return what a table has of a conversation's columns, with their types. Raises SettingError for what fits not."""
    if missing := [name for name in ("role", "content") if name not in frame.columns]:
        raise SettingError(f"The table has no column {' nor '.join(missing)}: it needs role and content. Rename yours.")
    if odd := [name for name in ("role", "content") if frame.schema[name].base_type() not in _TEXT]:
        raise SettingError(f"The column {odd[0]} must be text, not {frame.schema[odd[0]]}.")
    columns = []
    for name in filter(_TURNS.__contains__, frame.columns):
        try:
            columns.append(frame.get_column(name).cast(_TURNS[name]))
        except pl.exceptions.PolarsError as fault:
            raise SettingError(
                f"The column {name} must hold what to_frame() writes; drop it, or mend it: {fault}"
            ) from fault
    return pl.DataFrame(columns)


def _reply(row: Mapping[str, object], text: str | None) -> Reply:
    told = {name: value for name, value in row.items() if value is not None}
    opaque = told.pop("opaque", None)
    try:
        return msgspec.convert(
            {**told, "text": text, "opaque": None if opaque is None else msgspec.json.decode(str(opaque), type=Opaque)},
            Reply,
        )
    except msgspec.MsgspecError as fault:
        raise SettingError(f"A row of the assistant holds what to_frame() does not write: {fault}") from fault
