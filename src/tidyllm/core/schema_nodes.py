"""JSON Schema as a tree: where its subschemas are, what a reference names, and several that hold at once as one."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

Node: TypeAlias = dict[str, Any]
"""A schema, or a part of one, as JSON has it: what each keyword holds was checked by `core/schema_check.py`."""

REF = "#/$defs/"
"""How every reference begins, once a definition is self-contained."""
_ONE = ("items", "additionalProperties", "not", "propertyNames")
"""Keywords that hold one subschema, or true or false in place of one."""
_LIST = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAP = ("properties", "patternProperties")
_TUPLE = ("prefixItems", "items")
_FORMS_MAX = 1_000
"""Of two lists of forms that hold at once."""


def parts(node: Node) -> Iterator[tuple[str, object]]:
    """Yield the subschemas, true and false among them, each with the keyword that it stands under."""
    for keyword in _ONE:
        if keyword in node:
            yield keyword, node[keyword]
    for keyword in _LIST:
        for part in node.get(keyword, ()):
            yield keyword, part
    for keyword in _MAP:
        for part in node.get(keyword, {}).values():
            yield keyword, part


def with_parts(node: Node, change: Callable[[object], object]) -> Node:
    """Return the node with each of its subschemas changed."""
    changed = dict(node)
    changed |= {keyword: change(node[keyword]) for keyword in _ONE if keyword in node}
    changed |= {keyword: [change(part) for part in node[keyword]] for keyword in _LIST if keyword in node}
    for keyword in _MAP:
        if keyword in node:
            changed[keyword] = {name: change(part) for name, part in node[keyword].items()}
    return changed


def target_name(node: Node) -> str | None:
    """Return which of the `$defs` the node refers to, if it does."""
    return node["$ref"].removeprefix(REF) if "$ref" in node else None


def flat(node: Node, defs: Mapping[str, Node]) -> Node:
    """Return the node without references and `allOf` at its top.

    What cannot be said in one schema is left out: the result takes all that the node takes, and may take more.
    """
    own = {keyword: value for keyword, value in node.items() if keyword not in ("$ref", "allOf")}
    name = target_name(node)
    held = [] if name is None else [defs[name]]
    held += [part for part in node.get("allOf", ()) if isinstance(part, dict)]
    for part in reversed(held):
        own = _both(flat(part, defs), own)
    return own


def types_of(node: Node) -> tuple[str, ...]:
    """Return the types that a flat node names, or that its other keywords mean; nothing where any will do."""
    if "type" in node:
        return (node["type"],) if isinstance(node["type"], str) else tuple(node["type"])
    if "const" in node or "enum" in node:
        return tuple(dict.fromkeys(type_name(value) for value in allowed(node)))
    return ("object",) if "properties" in node else ("array",) if "items" in node or "prefixItems" in node else ()


def allowed(node: Node) -> list[object]:
    """Return the values that an enum or a const names."""
    return [node["const"]] if "const" in node else list(node["enum"])


def type_name(value: object) -> str:
    """Return what JSON Schema calls the type of a value."""
    if isinstance(value, bool):
        return "boolean"
    return next(name for kind, name in _NAMES.items() if isinstance(value, kind))


def key(value: object) -> object:
    """Return what is equal for values that are equal in JSON: true is not 1, and 1 is 1.0."""
    if isinstance(value, list):
        return "list", tuple(map(key, value))
    if isinstance(value, dict):
        return "dict", frozenset((name, key(inner)) for name, inner in value.items())
    return ("bool", value) if isinstance(value, bool) else value


def cyclic_names(defs: Mapping[str, Node]) -> frozenset[str]:
    """Return which of the definitions contain themselves, directly or by way of others."""
    direct = {name: set(_referred(node)) for name, node in defs.items()}
    reached = {name: set(names) for name, names in direct.items()}
    for name in defs:
        todo = list(direct[name])
        while todo:
            for further in direct[todo.pop()] - reached[name]:
                reached[name].add(further)
                todo.append(further)
    return frozenset(name for name, names in reached.items() if name in names)


def names_in(node: object) -> frozenset[str]:
    """Return the definitions that a node refers to, at its top or deeper."""
    return frozenset(_referred(node))


_NAMES: Mapping[type, str] = {
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}


def _referred(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        name = target_name(node)
        if name is not None:
            yield name
        for _, part in parts(node):
            yield from _referred(part)


def _both(one: Node, other: Node) -> Node:
    """Return what two flat nodes say together, or what the other one says where both speak and it cannot be joined."""
    if any(keyword in other for keyword in _TUPLE):
        one = {keyword: value for keyword, value in one.items() if keyword not in _TUPLE}
    joined = {**one, **other}
    for keyword in one.keys() & other.keys():
        joined[keyword] = _JOINED.get(keyword, _second)(one[keyword], other[keyword])
    return joined


def _second(one: Any, other: Any) -> object:
    del one
    return other


def _schemas(one: Node, other: Node) -> Node:
    shared = {name: {"allOf": [one[name], other[name]]} for name in one.keys() & other.keys()}
    return {**one, **other, **shared}


def _forms(one: list[object], other: list[object]) -> list[object]:
    """Return each form of the one with each of the other, unless these are too many to be written out."""
    if len(one) * len(other) > _FORMS_MAX:
        return other
    there, here = ([form for form in forms if form is not False] for forms in (one, other))
    return [{"allOf": [first, second]} for first in there for second in here] or [False]


def _names(one: list[str], other: list[str]) -> list[str]:
    return list(dict.fromkeys([*one, *other]))


def _types(one: str | list[str], other: str | list[str]) -> str | list[str]:
    first, second = ({types} if isinstance(types, str) else set(types) for types in (one, other))
    shared = first & second
    if "integer" in first | second and "number" in first | second:
        shared.add("integer")
    return other if not shared else shared.pop() if len(shared) == 1 else sorted(shared)


def _values(one: list[object], other: list[object]) -> list[object]:
    known = set(map(key, one))
    return [value for value in other if key(value) in known] or other


_JOINED: Mapping[str, Callable[[Any, Any], object]] = {
    "properties": _schemas,
    "patternProperties": _schemas,
    "required": _names,
    "anyOf": _forms,
    "oneOf": _forms,
    "type": _types,
    "enum": _values,
}
"""How what two schemas say under the same keyword is put together."""
