"""What an answer says of its tokens: read as far as it makes sense, for the answer is as good where it does not."""

from typing import Annotated, TypeAlias, TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
"""How many tokens there were."""


def read_usage(told: object, shape: type[S]) -> S:
    """Return what is told of tokens. A count may be written as `4.0`; what is no count is not told."""
    if told is None:
        return shape()
    try:
        return msgspec.convert(told, shape)
    except msgspec.ValidationError:
        return _legible(told, shape)


def read_count(told: object) -> int | None:
    """Return a single count, read likewise."""
    whole = _whole(told)
    return whole if isinstance(whole, int) and not isinstance(whole, bool) and whole >= 0 else None


def _legible(told: object, shape: type[S]) -> S:
    """Return those of the fields that can be read."""
    given: dict[str, object] = told if isinstance(told, dict) else {}
    found = {}
    for field in msgspec.structs.fields(shape):
        value = given.get(field.encode_name)
        value = {name: _whole(one) for name, one in value.items()} if isinstance(value, dict) else _whole(value)
        try:
            found[field.name] = msgspec.convert(value, field.type)
        except msgspec.ValidationError:  # There is nothing to be known from it, and nobody to be told.
            continue
    return shape(**found)


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
