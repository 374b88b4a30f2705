"""The fields of an answer as the columns of a table may have them: their types follow from the schema alone."""

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

import msgspec

from tidyllm.core.schema_nodes import Node, allowed, flat, target_name, types_of

Kind: TypeAlias = Literal["boolean", "integer", "number", "string", "array", "object", "any"]
"""The types of JSON; `any` is what no single type holds: several types, objects with names of their own, recursion."""
_KINDS: Mapping[str, Kind] = {
    "boolean": "boolean",
    "integer": "integer",
    "number": "number",
    "string": "string",
    "array": "array",
    "object": "object",
}


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field of an answer, or what the items of a list are."""

    name: str
    """Empty for the items of a list."""
    kind: Kind
    nullable: bool
    """Whether it may be null or missing."""
    enum: tuple[str, ...] | None = None
    """Of a text: all that it may be; null where it may be anything."""
    item: "Field | None" = None
    """Of a list: what each item is."""
    fields: tuple["Field", ...] = ()
    """Of an object: its fields, in order."""


def fields_of(top: Node, defs: Mapping[str, Node]) -> tuple[Field, ...]:
    """Return the fields of an object, in the schema's order."""
    return tuple(_fields(top, defs, within=frozenset()))


def _fields(node: Node, defs: Mapping[str, Node], *, within: frozenset[str]) -> Iterator[Field]:
    for name, part in node.get("properties", {}).items():
        left_out = name not in node.get("required", ()) and "default" not in _node(part)
        yield _field(name, part, defs=defs, within=within, nullable=left_out)


def _node(part: object) -> Node:
    return part if isinstance(part, dict) else {}


def _field(
    name: str, part: object, *, defs: Mapping[str, Node], within: frozenset[str], nullable: bool = False
) -> Field:
    forms = list(_forms(_node(part), defs, within=within))
    nullable |= any("null" in types_of(form) for form, _ in forms)
    told = [(form, inside) for form, inside in forms if types_of(form) != ("null",)]
    kinds = {kind for form, _ in told for kind in types_of(form) or ("any",) if kind != "null"}
    if kinds == {"integer", "number"}:
        kinds = {"number"}
    kind = _KINDS.get(kinds.pop(), "any") if len(kinds) == 1 else "any"
    if kind == "string":
        return Field(name=name, kind=kind, nullable=nullable, enum=_words([form for form, _ in told]))
    if kind in ("array", "object") and len(told) == 1:
        form, inside = told[0]
        return _holding(Field(name=name, kind=kind, nullable=nullable), form, defs=defs, within=inside)
    return Field(name=name, kind="any" if kind in ("array", "object") else kind, nullable=nullable)


def _holding(field: Field, form: Node, *, defs: Mapping[str, Node], within: frozenset[str]) -> Field:
    """Return the field of a list or an object, with what is in it."""
    if field.kind == "array" and isinstance(form.get("items"), dict) and "prefixItems" not in form:
        return msgspec.structs.replace(field, item=_field("", form["items"], defs=defs, within=within))
    named = form.get("properties") and not form.get("additionalProperties") and "patternProperties" not in form
    if field.kind == "object" and named:
        return msgspec.structs.replace(field, fields=tuple(_fields(form, defs, within=within)))
    return msgspec.structs.replace(field, kind="any")


def _forms(node: Node, defs: Mapping[str, Node], *, within: frozenset[str]) -> Iterator[tuple[Node, frozenset[str]]]:
    """Yield the forms that a value may have, each with the definitions that it is inside of."""
    name = target_name(node)
    if name is not None:
        if name in within:
            yield {}, within
            return
        within |= {name}
    whole = flat(node, defs)
    choices = whole.get("anyOf") or whole.get("oneOf")
    if choices is None:
        yield whole, within
    elif "properties" in whole:
        # Which fields stand beside these differs from form to form.
        yield {"type": whole.get("type", "object")}, within
    else:
        for choice in choices:
            yield from _forms(_node(choice), defs, within=within)


def _words(forms: list[Node]) -> tuple[str, ...] | None:
    """Return all the texts that the forms allow, where they say which."""
    if not all("enum" in form or "const" in form for form in forms):
        return None
    return tuple(dict.fromkeys(word for form in forms for word in allowed(form) if isinstance(word, str)))
