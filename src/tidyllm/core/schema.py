"""What an answer must look like, as a value: a JSON Schema that holds all it refers to, and reads answers by itself."""

import re
from collections.abc import Callable, Mapping
from functools import cached_property

import msgspec

from tidyllm.core.errors import InvalidAnswerError, SettingError
from tidyllm.core.problem import UNREADABLE
from tidyllm.core.schema_check import check
from tidyllm.core.schema_fields import Field, fields_of
from tidyllm.core.schema_fit import Fitter, Misfit
from tidyllm.core.schema_nodes import Node, flat, types_of

WRAPPED = "value"
"""The one field of the object that an answer is put into which is no object itself."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WAYS: tuple[Mapping[str, bool], ...] = (
    {"closed": True},
    {"closed": True, "nulls": True},
    {"nulls": True},
    {},
    {"nulls": True, "all_nulls": True},
)
"""How an answer is read, until it fits; models may say more than they are asked for.

As it is asked for comes first, so that of several forms the right one is found.
"""
_FENCED = re.compile(r"\s*```[A-Za-z]*\s*\n(.*?)\n?\s*```\s*", re.DOTALL)


class Schema(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What an answer must look like; `client/schemas.py` makes one of a class, a type or a JSON Schema.

    `msgspec.json` writes it and reads it back; the order of its fields is a part of it.
    """

    name: str
    """For the APIs, which show it to the model: letters, figures, `_` and `-`."""
    definition: dict[str, object]
    """The JSON Schema; every `$ref` in it is to one of its `$defs`."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SettingError(f"A schema's name has up to 64 letters, figures, _ and -; {self.name!r} is none.")
        check(self.definition)

    @cached_property
    def make(self) -> Callable[[object], object] | None:
        """What makes an instance of the class that the schema was made of, and raises ValueError where that refuses.

        It is kept beside the fields, because it cannot be written down: a schema that was read from JSON has none.
        """
        return None

    def made_by(self, make: Callable[[object], object]) -> "Schema":
        """Return the schema with what makes instances of its class."""
        schema = Schema(name=self.name, definition=self.definition)
        vars(schema)["make"] = make
        return schema

    def canonical(self) -> str:
        """Return the one text that stands for it: name and definition as JSON, fields in their order."""
        return msgspec.json.encode({"name": self.name, "definition": self.definition}).decode()

    @cached_property
    def defs(self) -> Mapping[str, Node]:
        """Return what its references name."""
        found = self.definition.get("$defs", {})
        assert isinstance(found, dict)  # noqa: S101 - it was checked
        return found

    @cached_property
    def wrapped(self) -> bool:
        """Return whether an answer is no object with fields of its own, so that it is asked for as the one of one."""
        whole = flat(self._own, self.defs)
        return types_of(whole) != ("object",) or "properties" not in whole or "anyOf" in whole or "oneOf" in whole

    @cached_property
    def top(self) -> Node:
        """Return what models are asked for, which is an object always; its references are to `defs`."""
        if not self.wrapped:
            return flat(self._own, self.defs)
        return {
            "type": "object",
            "properties": {WRAPPED: self._own},
            "required": [WRAPPED],
            "additionalProperties": False,
        }

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """Return the fields of an answer, in order; one called `value` for an answer that is no object."""
        return fields_of(self.top, self.defs)

    def read(self, text: str) -> object:
        """Return what an answer says, as plain data with the schema's defaults filled in.

        Raises InvalidAnswerError for a text that is no JSON, or does not fit the schema or the class it was made of.
        """
        value = self._parsed(text)
        self._instance(value, text)
        return self._fitted(value, text, fills=True)

    def read_as(self, text: str) -> object:
        """Return the same as an instance of the class that the schema was made of; as plain data where it has none."""
        value = self._parsed(text)
        return self._fitted(value, text, fills=True) if self.make is None else self._instance(value, text)

    @cached_property
    def told(self) -> dict[object, Node]:
        """Return how it is told to APIs, by what each takes, as far as that was worked out; `dialects` write it."""
        return {}

    @cached_property
    def _own(self) -> Node:
        return {keyword: value for keyword, value in self.definition.items() if keyword != "$defs"}

    def _parsed(self, text: str) -> object:
        fenced = _FENCED.fullmatch(text)
        try:
            value = msgspec.json.decode(text if fenced is None else fenced[1])
        except (*UNREADABLE, UnicodeEncodeError) as fault:
            raise _invalid(f"it is no JSON: {fault}", text) from fault
        # Models that are free to do so leave the wrapping out.
        return value[WRAPPED] if self.wrapped and isinstance(value, dict) and [*value] == [WRAPPED] else value

    def _fitted(self, value: object, text: str, *, fills: bool) -> object:
        faults: list[Misfit | RecursionError] = []
        for way in _WAYS:
            try:
                return Fitter(defs=self.defs, fills=fills, **way).fit(value, self._own)
            except (Misfit, RecursionError) as fault:
                faults.append(fault)
        what = "it is nested too deep" if isinstance(faults[-1], RecursionError) else str(faults[-1])
        raise _invalid(what, text) from faults[-1]

    def _instance(self, value: object, text: str) -> object:
        """Return the class's instance. What is missing is left to the class, whose defaults may be no JSON."""
        if self.make is None:
            return None
        try:
            return self.make(self._fitted(value, text, fills=False))
        except ValueError as fault:
            raise _invalid(str(fault), text) from fault
        except Exception as fault:  # a class of the user's may raise whatever it likes
            raise _invalid(repr(fault), text) from fault


def _invalid(what: str, text: str) -> InvalidAnswerError:
    return InvalidAnswerError(f"The answer does not fit the schema: {what}.", body=text.encode(errors="replace"))
