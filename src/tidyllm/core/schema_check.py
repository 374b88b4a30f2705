"""Whether a JSON Schema can be used: plain data that hold all they refer to, and that answers can be held to."""

import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.schema_nodes import REF, Node, parts, target_name, type_name, with_parts

DEPTH_MAX = 60
"""Schemas inside schemas, references not followed."""
NODES_MAX = 20_000
_TYPES = frozenset({"string", "number", "integer", "boolean", "null", "array", "object"})
_DRAWERS = frozenset({"$defs", "definitions"})
_UNHELD: Mapping[str, str] = {
    **dict.fromkeys(("if", "then", "else"), "say with anyOf which forms there are"),
    **dict.fromkeys(("dependentRequired", "dependentSchemas", "dependencies"), "say with anyOf which forms there are"),
    **dict.fromkeys(("contains", "minContains", "maxContains"), "say in items what each item is"),
    **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties"), "additionalProperties and items are nearest"),
    **dict.fromkeys(("$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor"), "refer to #/$defs/<name>"),
    "additionalItems": "prefixItems and items say it",
    "nullable": 'it is of OpenAPI; {"type": ["string", "null"]} says it',
}
"""Keywords by which no answer is checked here, so that they would be promises that nobody keeps; what is nearest."""


def self_contained(definition: object) -> Node:
    """Return the schema as plain data of our own, in which every reference is to one of its `$defs`.

    Raises SettingError for what is no JSON Schema, or one that we cannot hold an answer to.
    """
    try:
        plain = msgspec.json.decode(msgspec.json.encode(definition))
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError) as fault:
        raise SettingError(f"The schema cannot be written as JSON: {fault}.") from fault
    if not isinstance(plain, dict):
        raise SettingError(f"A JSON Schema is an object, not {type_name(plain)}.")
    gathered = _Gathering(plain).whole()
    check(gathered)
    return gathered


def check(definition: Node) -> None:
    """Raise SettingError unless it is a schema that `self_contained` could have returned."""
    defs = definition.get("$defs", {})
    if not isinstance(defs, dict) or not all(isinstance(node, dict) for node in defs.values()):
        raise SettingError("The schema's $defs must be names and schemas.")
    count = 0
    for name, node in ({"": {**definition}} | defs).items():
        for where, part in _walk(node, f"{REF}{name}" if name else "#"):
            count += 1
            if count > NODES_MAX:
                raise SettingError(f"The schema has more than {NODES_MAX:,} parts.")
            _check_node(part, where=where, defs=defs)
    _check_ends(defs)


class _Gathering:
    """Moves all that is referred to into the `$defs` at the top."""

    def __init__(self, root: Node) -> None:
        self._root = root
        self._defs: Node = {}
        self._names: dict[str, str] = {}

    def whole(self) -> Node:
        top = self._moved(self._root)
        assert isinstance(top, dict)  # noqa: S101 - the root is one
        return {**top, "$defs": self._defs} if self._defs else top

    def _moved(self, node: object, depth: int = 0) -> object:
        if not isinstance(node, dict):
            return node
        if depth > DEPTH_MAX:
            raise SettingError(f"The schema is nested more than {DEPTH_MAX} deep.")
        kept = {word: value for word, value in node.items() if word not in _DRAWERS and word != "$schema"}
        if "$ref" in kept:
            kept["$ref"] = REF + self._named(kept["$ref"])
        try:
            return with_parts(kept, lambda part: self._moved(part, depth + 1))
        except (AttributeError, TypeError) as fault:
            raise SettingError(f"This is no JSON Schema: {_shown(node)}.") from fault

    def _named(self, ref: object) -> str:
        """Return the name under which what is referred to stands, or will."""
        if not isinstance(ref, str) or not ref.startswith("#"):
            raise SettingError(
                f"The schema refers to {ref!r}, which is not in it: put that under $defs, and refer to #/$defs/<name>."
            )
        if ref not in self._names:
            name = self._free_name(ref)
            self._names[ref] = name
            # Its place is taken before it is looked into, for it may refer to itself.
            self._defs[name] = {}
            self._defs[name] = self._moved(self._found(ref))
        return self._names[ref]

    def _found(self, ref: str) -> object:
        place: object = self._root
        try:
            for step in map(_unescaped, ref.split("/")[1:]):
                place = place[int(step)] if isinstance(place, list) else place[step]  # type: ignore[index]
        except (LookupError, ValueError, TypeError) as fault:
            raise SettingError(f"The schema refers to {ref!r}, which is not in it.") from fault
        if not isinstance(place, dict):
            raise SettingError(f"The schema refers to {ref!r}, which is no schema.")
        return place

    def _free_name(self, ref: str) -> str:
        last = _unescaped(ref.rpartition("/")[2]).strip("#") or str(self._root.get("title") or "root")
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", last)
        while name in self._defs:
            name += "_"
        return name


def _walk(node: object, where: str, *, depth: int = 0) -> Iterator[tuple[str, Node]]:
    if isinstance(node, bool):
        return
    if not isinstance(node, dict) or depth > DEPTH_MAX:
        raise SettingError(f"The schema has at {where} what is no schema: {_shown(node)}.")
    yield where, node
    for keyword, part in parts(node):
        yield from _walk(part, f"{where}/{keyword}", depth=depth + 1)


def _check_node(node: Node, *, where: str, defs: Mapping[str, object]) -> None:
    for keyword, value in node.items():
        if keyword in _UNHELD:
            raise SettingError(f"The schema has {keyword!r} at {where}, which is never checked: {_UNHELD[keyword]}.")
        holds = _HOLDS.get(keyword)
        if holds is not None and not holds(value):
            raise SettingError(f"The schema has at {where} a {keyword!r} that cannot be: {_shown(value)}.")
    name = target_name(node)
    if name is not None and (not node["$ref"].startswith(REF) or name not in defs):
        raise SettingError(f"The schema refers to {node['$ref']!r}, which is not in it.")


def _check_ends(defs: Node) -> None:
    """Refuse a definition that is itself, with nothing between: there is no end to it."""
    for name in defs:
        seen, todo = set[str](), [defs[name]]
        while todo:
            node = todo.pop()
            further = target_name(node)
            if further == name:
                raise SettingError(f"The schema's definition {name!r} is made of itself, with nothing between.")
            if further is not None and further not in seen:
                seen.add(further)
                todo.append(defs[further])
            for keyword, part in parts(node):
                if keyword in ("anyOf", "oneOf", "allOf", "not") and isinstance(part, dict):
                    todo.append(part)


def _unescaped(step: str) -> str:
    return unquote(step).replace("~1", "/").replace("~0", "~")


def _shown(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


_SHOWN_CHARACTERS = 200


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_types(value: object) -> bool:
    return value in _TYPES if isinstance(value, str) else _is_texts(value) and bool(value) and _TYPES.issuperset(value)  # type: ignore[arg-type]  # they are texts


def _is_pattern(value: object) -> bool:
    try:
        return isinstance(value, str) and re.compile(value) is not None
    except (re.error, RecursionError, OverflowError):
        return False


def _is_schemas(value: object) -> bool:
    return isinstance(value, dict)


def _is_patterns(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_pattern, value))


def _is_list(value: object) -> bool:
    return isinstance(value, list) and bool(value)


_HOLDS: Mapping[str, Callable[[object], bool]] = {
    "type": _is_types,
    "enum": _is_list,
    "required": _is_texts,
    "properties": _is_schemas,
    "patternProperties": _is_patterns,
    "$ref": lambda value: isinstance(value, str),
    "pattern": _is_pattern,
    "multipleOf": lambda value: _is_number(value) and value > 0,  # type: ignore[operator]  # it is a number
    "uniqueItems": lambda value: isinstance(value, bool),
    **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), _is_list),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _is_count),
    **dict.fromkeys(("title", "description", "format"), lambda value: isinstance(value, str)),
}
"""What each keyword may hold; subschemas are looked at by themselves."""
