"""The columns that answers add to a table: what was asked for, typed as the schema has it, and what is known of each.

This module loads polars, half a second: the others of `client` import it where a table is made, and not before.
"""

from collections.abc import Mapping

import msgspec
import polars as pl

from tidyllm.core.errors import InvalidAnswerError, SettingError
from tidyllm.core.reply import Answer, Outcome, Reply
from tidyllm.core.schema import Schema
from tidyllm.core.schema_fields import Field

TEXT = "reply"
"""The column of the answer's text, where no schema has fields."""
_LATER: Mapping[str, pl.DataType] = {
    "llm_status": pl.String(),
    "llm_error": pl.String(),
    "llm_finish": pl.String(),
    "llm_model": pl.String(),
    "llm_tokens_in": pl.Int64(),
    "llm_tokens_out": pl.Int64(),
    "llm_cost": pl.Float64(),
    "llm_seconds": pl.Float64(),
    "llm_attempts": pl.Int64(),
    "llm_id": pl.String(),
}
"""The columns of what is known about an answer."""
_NO_REPLY = Reply()
_PLAIN: Mapping[str, pl.DataType] = {
    "boolean": pl.Boolean(),
    "integer": pl.Int64(),
    "number": pl.Float64(),
    "string": pl.String(),
    "any": pl.String(),
}


class Columns:
    """The columns of answers that were asked for with a schema, or without one."""

    def __init__(self, schema: Schema | None = None) -> None:
        self._schema = schema
        self._fields = () if schema is None else schema.fields
        names = [TEXT] if schema is None or schema.wrapped else [field.name for field in self._fields]
        if taken := sorted(set(names) & _LATER.keys()):
            raise SettingError(
                f"The schema has a field {taken[0]!r}, as a column about the answer is called: rename it."
            )
        told = [pl.String()] if schema is None else [_type_of(field) for field in self._fields]
        self.types: dict[str, pl.DataType] = dict(zip(names, told, strict=True))
        self.types |= _LATER

    def row(self, answer: Answer) -> tuple[object, ...]:
        """Return the values of an answer."""
        reply = answer.reply or _NO_REPLY
        return (
            *self._told(answer, reply),
            answer.outcome.value,
            answer.error,
            reply.finish,
            reply.model,
            bounded(reply.tokens_in),
            bounded(reply.tokens_out),
            reply.cost,
            answer.seconds if reply.seconds is None else reply.seconds,
            answer.attempts if reply.attempts is None else reply.attempts,
            reply.id or answer.request_id,
        )

    def _told(self, answer: Answer, reply: Reply) -> tuple[object, ...]:
        if self._schema is None:
            return (reply.text,)
        nothing = (None,) * len(self._fields)
        if answer.outcome is not Outcome.OK or reply.text is None:
            return nothing
        try:
            data = self._schema.read(reply.text)
        except InvalidAnswerError:  # A run has said so already; an answer of elsewhere may have been read otherwise.
            return nothing
        if self._schema.wrapped:
            return (_value_of(self._fields[0], data),)
        assert isinstance(data, dict)  # noqa: S101 - it fits the schema, which is one of an object
        return tuple(_value_of(field, data.get(field.name)) for field in self._fields)


def bounded(value: object) -> object:
    """Return a value as a column can have it: a number that no 64 bits hold is none that an API means."""
    return None if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


def _type_of(field: Field) -> pl.DataType:
    if field.enum:
        return pl.Enum(field.enum)
    if field.item is not None:
        return pl.List(_type_of(field.item))
    if field.fields:
        return pl.Struct({each.name: _type_of(each) for each in field.fields})
    return _PLAIN.get(field.kind, pl.String())


def _value_of(field: Field, value: object) -> object:
    """Return a value as its column has it; what no single type holds stands there as JSON."""
    if value is None:
        return None
    if field.item is not None and isinstance(value, list):
        return [_value_of(field.item, each) for each in value]
    if field.fields and isinstance(value, dict):
        return {each.name: _value_of(each, value.get(each.name)) for each in field.fields}
    if field.kind in _PLAIN and field.kind != "any":
        return float(value) if field.kind == "number" and isinstance(value, int) else bounded(value)
    return msgspec.json.encode(value).decode()
