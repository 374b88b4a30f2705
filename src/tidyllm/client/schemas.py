"""Schemas of what users have: classes, types, JSON Schemas, and the R package's `tidyllm_schema` with its fields."""

import re
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.schema import Schema
from tidyllm.core.schema_check import self_contained
from tidyllm.core.schema_nodes import Node

USUAL_NAME = "answer"
_SAYS = frozenset({"type", "properties", "$ref", "anyOf", "oneOf", "allOf", "enum", "const", "items"})
_NAME_CHARACTERS_MAX = 64
_PROBLEMS_SHOWN = 3
_TAKEN = "a class (pydantic, dataclass, TypedDict, msgspec), a type, a JSON Schema, or tidyllm_schema(...)"


class FieldSchema(msgspec.Struct, frozen=True):
    """What a field of `tidyllm_schema` holds; made by `field_chr` and its kin."""

    definition: Node


def tidyllm_schema(name: str = "tidyllm_schema", **fields: FieldSchema) -> Schema:
    """Return the schema of an answer with these fields, as the R package has it.

    tidyllm_schema("Review", sentiment=field_fct(levels=["good", "bad"]), stars=field_int("From 1 to 5"))
    """
    return Schema(name=_name(name), definition=_object(fields))


def field_chr(description: str | None = None, *, vector: bool = False) -> FieldSchema:
    """Return a field that holds a text; with `vector` a list of them."""
    return _field({"type": "string"}, description, vector=vector)


def field_dbl(description: str | None = None, *, vector: bool = False) -> FieldSchema:
    """Return a field that holds a number; with `vector` a list of them."""
    return _field({"type": "number"}, description, vector=vector)


def field_int(description: str | None = None, *, vector: bool = False) -> FieldSchema:
    """Return a field that holds a whole number; with `vector` a list of them."""
    return _field({"type": "integer"}, description, vector=vector)


def field_lgl(description: str | None = None, *, vector: bool = False) -> FieldSchema:
    """Return a field that is true or false; with `vector` a list of them."""
    return _field({"type": "boolean"}, description, vector=vector)


def field_fct(description: str | None = None, *, levels: Sequence[str], vector: bool = False) -> FieldSchema:
    """Return a field that holds one of some texts; with `vector` a list of them."""
    words = list(levels)
    if isinstance(levels, str) or not words or not all(isinstance(word, str) for word in words):
        raise SettingError('levels= must be the texts that there may be, as levels=["good", "bad"].')
    return _field({"type": "string", "enum": words}, description, vector=vector)


def field_object(description: str | None = None, *, vector: bool = False, **fields: FieldSchema) -> FieldSchema:
    """Return a field that has fields of its own; with `vector` a list of such."""
    return _field(_object(fields), description, vector=vector)


def schema_of(given: object) -> Schema:
    """Return the schema that is meant.

    Raises SettingError for what has no JSON form, and for a JSON Schema that answers cannot be held to.
    """
    if isinstance(given, Schema):
        return given
    if isinstance(given, FieldSchema):
        raise SettingError("schema= is a single field: put it into a schema, tidyllm_schema(answer=field_chr()).")
    if isinstance(given, Mapping):
        return _of_mapping(given)
    if isinstance(given, set | frozenset | list | tuple):
        raise SettingError(f'schema= is a {type(given).__name__}. For one of several texts: Literal["good", "bad"].')
    if _is_instance(given):
        raise SettingError(f"schema= is one {type(given).__name__}: give the class itself.")
    # Pydantic's own checks hold only where it reads an answer itself. It is loaded where a user's class is its own.
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and _is_pydantic(given, set()):
        return _of_pydantic(given, pydantic.TypeAdapter)
    return _of_type(given)


def _of_mapping(given: Mapping[object, object]) -> Schema:
    if not _SAYS.intersection(key for key in given if isinstance(key, str)):
        raise SettingError(
            f"schema= is a mapping, but no JSON Schema: it has none of {', '.join(sorted(_SAYS))}. As one it would be "
            '{"type": "object", "properties": {"stars": {"type": "integer"}}, "required": ["stars"]}.'
        )
    definition = self_contained(given)
    return Schema(name=_name(definition.get("title")), definition=definition)


def _of_pydantic(given: object, adapter_of: Callable[[object], object]) -> Schema:
    try:
        adapter: typing.Any = adapter_of(given)
        definition = adapter.json_schema()
    except Exception as fault:  # whatever a foreign library does
        raise SettingError(f"{_called(given)} has no JSON Schema, says pydantic: {_one_line(fault)}") from fault

    def make(value: object) -> object:
        try:
            # As JSON, for strict models take a date from a text only there.
            return adapter.validate_json(msgspec.json.encode(value))
        except ValueError as fault:
            raise ValueError(_one_line(fault)) from fault

    return Schema(name=_name_of(given), definition=self_contained(definition)).made_by(make)


def _of_type(given: object) -> Schema:
    try:
        definition = msgspec.json.schema(given)
    except Exception as fault:  # it reads annotations, which may be anything
        raise SettingError(f"schema= must be {_TAKEN}, and {_called(given)} is none: {_one_line(fault)}") from fault

    def make(value: object) -> object:
        try:
            return msgspec.convert(value, given)
        except msgspec.ValidationError as fault:
            raise ValueError(_one_line(fault)) from fault

    return Schema(name=_name_of(given), definition=self_contained(definition)).made_by(make)


def _is_pydantic(hint: object, seen: set[int]) -> bool:
    """Whether a type is pydantic's, or holds what only pydantic reads, in its arguments or its fields."""
    if id(hint) in seen:
        return False
    seen.add(id(hint))
    if hasattr(hint, "__pydantic_validator__"):
        return True
    if any(type(note).__module__.partition(".")[0] in _ITS_OWN for note in getattr(hint, "__metadata__", ())):
        return True
    return any(_is_pydantic(inner, seen) for inner in _inside(hint))


_ITS_OWN = ("pydantic", "annotated_types")


def _is_instance(given: object) -> bool:
    if isinstance(given, type):
        return False
    return isinstance(given, msgspec.Struct) or is_dataclass(given) or hasattr(given, "__pydantic_validator__")


def _inside(hint: object) -> Iterator[object]:
    yield from typing.get_args(hint)
    if hasattr(hint, "__origin__"):
        yield hint.__origin__
    if isinstance(hint, type):
        try:
            yield from typing.get_type_hints(hint, include_extras=True).values()
        except Exception:  # noqa: BLE001 - annotations may be anything; who reads them next says what is wrong
            return


def _object(fields: Mapping[str, object]) -> Node:
    properties = {}
    for name, field in fields.items():
        if not isinstance(field, FieldSchema):
            raise SettingError(f"The field {name!r} must be made by field_chr() or its kin, not {_called(field)}.")
        properties[name] = field.definition
    if not properties:
        raise SettingError("A schema needs fields, as in tidyllm_schema(stars=field_int()).")
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _field(definition: Node, description: str | None, *, vector: bool) -> FieldSchema:
    whole = {"type": "array", "items": definition} if vector else definition
    return FieldSchema(whole if description is None else {"description": description, **whole})


def _name_of(given: object) -> str:
    is_own = isinstance(given, type) and not typing.get_args(given) and given.__module__ not in ("builtins", "typing")
    return _name(given.__name__ if is_own else None)  # type: ignore[attr-defined]  # it is a class


def _name(wanted: object) -> str:
    """Return a name that every API takes."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", str(wanted or ""))[:_NAME_CHARACTERS_MAX].strip("_") or USUAL_NAME


def _called(given: object) -> str:
    return given.__name__ if isinstance(given, type) else f"{given!r:.100}"


def _one_line(fault: Exception) -> str:
    """Return what is wrong in one line, as pydantic's exceptions tell it by their method, and others by their text."""
    errors = getattr(fault, "errors", None)
    if not callable(errors):
        return " ".join(str(fault).split())
    told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in errors()]
    return "; ".join(" ".join(one.split()) for one in told[:_PROBLEMS_SHOWN])
