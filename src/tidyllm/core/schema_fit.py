"""Whether a value fits a schema, and the value with its defaults filled in: the whole of JSON Schema that we take."""

import copy
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import msgspec

from tidyllm.core.schema_nodes import Node, allowed, key, target_name, type_name

_SHOWN_CHARACTERS = 80


class Misfit(ValueError):  # noqa: N818 - it is no error of ours, but what is wrong with a value
    """A value does not fit; the message says in one line what is wrong, and where."""

    def __init__(self, what: str, *path: str) -> None:
        super().__init__(what)
        self._path = path

    def __str__(self) -> str:
        where, (what,) = ".".join(self._path).replace(".[", "["), self.args
        return f"{where}: {what}" if where else str(what)

    def inside(self, step: str) -> "Misfit":
        """Return the same of a value that holds this one at that place."""
        return Misfit(*self.args, step, *self._path)


class Fitter(msgspec.Struct, frozen=True, kw_only=True):
    """Holds values to schemas that share definitions."""

    defs: Mapping[str, Node]
    fills: bool
    """Whether fields that are missing get the schema's defaults."""
    closed: bool = False
    """Whether an object has no fields but those that are named, unless the schema says that it may."""
    nulls: bool = False
    """Whether a null for a field that may be left out, and that cannot be null, stands for its absence: some APIs
    demand that a model names every field."""
    all_nulls: bool = False
    """Whether a null stands for absence wherever it may: of a field that can be null too, or that another form has."""

    def fit(self, value: object, node: object) -> object:
        """Return the value as the schema has it. Raises Misfit for one that does not fit."""
        if isinstance(node, bool):
            if not node:
                raise Misfit("nothing may stand here")
            return value
        assert isinstance(node, dict)  # noqa: S101 - schemas were checked
        fitted = _of_type(value, node)
        if ("enum" in node or "const" in node) and key(value) not in map(key, allowed(node)):
            raise Misfit(f"{_shown(value)} is none of {_shown(allowed(node))}")
        if isinstance(value, str):
            _check_text(value, node)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            _check_number(value, node)
        elif isinstance(value, list):
            fitted = self._list(value, node)
        elif isinstance(value, dict):
            fitted = self._object(value, node)
        return self._with_others(value, fitted, node=node)

    def fits(self, value: object, node: object) -> bool:
        """Return whether a value fits."""
        try:
            self.fit(value, node)
        except Misfit:
            return False
        return True

    def _with_others(self, value: object, fitted: object, *, node: Node) -> object:
        """Return what fits the other schemas too that the node says must hold."""
        name = target_name(node)
        if name is not None:
            fitted = _joined(value, fitted, other=self.fit(value, self.defs[name]))
        for part in node.get("allOf", ()):
            fitted = _joined(value, fitted, other=self.fit(value, part))
        for keyword in ("anyOf", "oneOf"):
            if keyword in node:
                fitted = _joined(value, fitted, other=self._one_of(value, node[keyword], alone=keyword == "oneOf"))
        if "not" in node and self.fits(value, node["not"]):
            raise Misfit(f"{_shown(value)} is what it must not be")
        return fitted

    def _one_of(self, value: object, nodes: list[object], *, alone: bool) -> object:
        found, faults = [], []
        for node in nodes:
            try:
                found.append(self.fit(value, node))
            except Misfit as fault:
                faults.append((node, fault))
                continue
            if not alone:
                break
        if alone and len(found) > 1 and self.nulls:
            # Which nulls stand for absence may differ from form to form; what is left must fit that one alone.
            plain = msgspec.structs.replace(self, nulls=False)
            found = [one for one in found if sum(plain.fits(one, node) for node in nodes) == 1][:1] or found
        if alone and len(found) > 1:
            raise Misfit(f"{_shown(value)} fits {len(found)} of the forms that it may have, and must fit one")
        if found:
            return found[0]
        # That it is not null either goes without saying.
        told = [fault for node, fault in faults if not (isinstance(node, dict) and node.get("type") == "null")]
        if len(told) == 1:
            raise told[0]
        raise Misfit(f"it fits none of the {len(nodes)} forms that it may have: {' or '.join(map(str, told))}")

    def _list(self, value: list[object], node: Node) -> list[object]:
        _check_size(len(value), node, of=("minItems", "maxItems", "items"))
        if node.get("uniqueItems") and len(set(map(key, value))) < len(value):
            raise Misfit("an item stands there twice")
        first, rest = node.get("prefixItems", []), node.get("items", True)
        return [
            self._held(item, first[at] if at < len(first) else rest, step=f"[{at}]") for at, item in enumerate(value)
        ]

    def _object(self, value: dict[str, object], node: Node) -> dict[str, object]:
        if self.nulls and None in value.values():
            value = {k: inner for k, inner in value.items() if inner is not None or not self._is_absent(k, node)}
        _check_size(len(value), node, of=("minProperties", "maxProperties", "fields"))
        known, required = node.get("properties", {}), node.get("required", ())
        fitted: dict[str, object] = {}
        for name, part in known.items():
            if name in value:
                fitted[name] = self._held(value[name], part, step=name)
            elif self.fills and isinstance(part, dict) and "default" in part:
                fitted[name] = copy.deepcopy(part["default"])
        if missing := [name for name in required if name not in value]:
            raise Misfit("is missing", missing[0])
        for name in value if "propertyNames" in node else ():
            if not self.fits(name, node["propertyNames"]):
                raise Misfit(f"no field may be called {_shown(name)}")
        for name, inner in value.items():
            if name not in known:
                fitted[name] = self._other_field(name, inner, node=node)
        return fitted

    def _is_absent(self, name: str, node: Node) -> bool:
        """Whether a null under that name stands for its absence."""
        if name in node.get("required", ()):
            return False
        if name in node.get("properties", {}):
            return self.all_nulls or not self.fits(None, node["properties"][name])
        patterned = any(re.search(pattern, name) for pattern in node.get("patternProperties", ()))
        named = "properties" in node or "required" in node
        return self.all_nulls and node.get("additionalProperties", not named) is False and not patterned

    def _other_field(self, name: str, value: object, *, node: Node) -> object:
        """Return the value of a field that is not named by itself."""
        matched, fitted = False, value
        for pattern, part in node.get("patternProperties", {}).items():
            if re.search(pattern, name):
                matched, fitted = True, _joined(value, fitted, other=self._held(value, part, step=name))
        named = "properties" in node or "required" in node
        others = node.get("additionalProperties", not (self.closed and named))
        if matched or others is True:
            return fitted
        if others is False:
            raise Misfit("there is no such field", name)
        return self._held(value, others, step=name)

    def _held(self, value: object, node: object, *, step: str) -> object:
        try:
            return self.fit(value, node)
        except Misfit as fault:
            raise fault.inside(step) from None


def _of_type(value: object, node: Node) -> object:
    """Return the value, as a whole number where that is meant. Raises Misfit for one of another type."""
    if "type" not in node:
        return value
    wanted = [node["type"]] if isinstance(node["type"], str) else node["type"]
    found = type_name(value)
    if found in wanted or (found == "integer" and "number" in wanted):
        return value
    if found == "number" and "integer" in wanted and isinstance(value, float) and value.is_integer():
        return int(value)
    raise Misfit(f"{_shown(value)} is {_WITH_ARTICLE[found]}, and must be {_or(wanted)}")


def _check_text(value: str, node: Node) -> None:
    _check_size(len(value), node, of=("minLength", "maxLength", "characters"))
    if "pattern" in node and not re.search(node["pattern"], value):
        raise Misfit(f"{_shown(value)} does not match {_shown(node['pattern'])}")


def _check_number(value: float, node: Node) -> None:
    for keyword, holds, words in _BOUNDS:
        if keyword in node and not holds(value, node[keyword]):
            raise Misfit(f"{_shown(value)} must be {words} {_shown(node[keyword])}")


def _check_size(size: int, node: Node, *, of: tuple[str, str, str]) -> None:
    least, most, what = of
    if size < node.get(least, 0):
        raise Misfit(f"it has {size} {what}, and must have at least {node[least]}")
    if most in node and size > node[most]:
        raise Misfit(f"it has {size} {what}, and may have at most {node[most]}")


_BOUNDS = (
    ("minimum", lambda value, bound: value >= bound, "at least"),
    ("maximum", lambda value, bound: value <= bound, "at most"),
    ("exclusiveMinimum", lambda value, bound: value > bound, "more than"),
    ("exclusiveMaximum", lambda value, bound: value < bound, "less than"),
    ("multipleOf", lambda value, unit: Fraction(str(value)) % Fraction(str(unit)) == 0, "a multiple of"),
)


def _joined(value: object, one: object, *, other: object) -> object:
    """Return what came of a value by two schemas that both hold: with the defaults of both."""
    if isinstance(one, dict) and isinstance(other, dict) and isinstance(value, dict):
        names = [name for name in {**one, **other} if (name in one and name in other) or name not in value]
        return {
            name: _joined(value.get(name), one.get(name, other.get(name)), other=other.get(name, one.get(name)))
            for name in names
        }
    if isinstance(one, list) and isinstance(other, list) and isinstance(value, list):
        return [_joined(item, first, other=second) for item, first, second in zip(value, one, other, strict=True)]
    # A whole number that one of them has made of 1.0, or a default of a null.
    return other if one is value else one


def _or(words: Any) -> str:
    return " or ".join(_WITH_ARTICLE[word] for word in words)


_WITH_ARTICLE: Mapping[str, str] = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
