"""Random schemas, and values that fit them, for property tests."""

import functools
from collections.abc import Mapping
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from tidyllm.core.schema_fit import Fitter
from tidyllm.core.schema_nodes import Node, allowed, flat, key, types_of

WORDS = ["a", "b", "c", "kind", "name", "$ref"]
TREE: Node = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "left": {"$ref": "#/$defs/tree"},
        "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
    },
    "required": ["name", "kids"],
}
POINT: Node = {
    "type": "object",
    "properties": {"x": {"type": "integer", "minimum": 0}, "y": {"type": ["number", "null"], "default": None}},
    "required": ["x"],
}
LINK: Node = {
    "type": "object",
    "properties": {"word": {"$ref": "#/$defs/word"}, "next": {"$ref": "#/$defs/chain"}},
    "required": ["word", "next"],
}
DEFS: Mapping[str, Node] = {
    "word": {"type": "string", "minLength": 1},
    "point": POINT,
    "tree": TREE,
    "link": LINK,
    "chain": {"anyOf": [{"$ref": "#/$defs/link"}, {"type": "null"}]},
}
RECURSIVE = {"tree", "link", "chain"}
FITTER = Fitter(defs=DEFS, fills=False)

SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from([0.5, 1.5]) | st.sampled_from(WORDS)
NOTES = st.fixed_dictionaries({}, optional={"description": st.just("Said of it."), "title": st.just("T")})
TEXTS = st.fixed_dictionaries(
    {"type": st.just("string")},
    optional={
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(2, 9),
        "pattern": st.sampled_from(["^[a-z]*$", "^(?!z)", "."]),
        "format": st.sampled_from(["email", "date", "made-up"]),
        "not": st.just({"const": "a"}),
    },
)
NUMBERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["integer", "number"])},
    optional={
        "minimum": st.integers(-5, 0),
        "exclusiveMaximum": st.integers(3, 9),
        "multipleOf": st.just(1),
        "format": st.just("int32"),
    },
)
EITHER: Node = {
    "type": "object",
    "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
    "minProperties": 1,
    "maxProperties": 1,
}


@functools.cache
def schemas(*, maps: bool, recursive: bool) -> st.SearchStrategy[Any]:
    """Return schemas; with `maps` some have objects whose fields are not named, or say nothing of some value."""
    anything: st.SearchStrategy[Any] = st.sampled_from([{}, True, {"description": "Whatever."}, {"minimum": 3}])
    first = _leaves(recursive=recursive)
    return st.recursive(first | anything if maps else first, lambda inner: _larger(inner, maps=maps), max_leaves=8)


def _leaves(*, recursive: bool) -> st.SearchStrategy[Any]:
    names = [name for name in DEFS if recursive or name not in RECURSIVE]
    enums = st.lists(SCALARS, min_size=1, max_size=3).map(lambda values: {"enum": values})
    typed = enums.map(lambda node: {**node, "type": list(types_of(node))})
    kinds = st.one_of(
        *(TEXTS, NUMBERS, enums, typed),
        st.sampled_from(["boolean", "null", "string", "integer"]).map(lambda kind: {"type": kind}),
        st.just({"type": ["string", "null"], "maxLength": 3}),
        SCALARS.map(lambda value: {"const": value}),
        st.sampled_from(names).map(lambda name: {"$ref": f"#/$defs/{name}"}),
        st.sampled_from([EITHER, {"$ref": "#/$defs/word", "maxLength": 3}]),
    )
    return _noted(kinds)


def _noted(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.tuples(nodes, NOTES).map(lambda both: {**both[0], **both[1]})


def _larger(inner: st.SearchStrategy[Any], *, maps: bool) -> st.SearchStrategy[Any]:
    sizes = {"minItems": st.integers(0, 2), "maxItems": st.integers(2, 4), "uniqueItems": st.booleans()}
    arrays = st.fixed_dictionaries(
        {"type": st.sampled_from(["array", ["array", "null"]]), "items": inner}, optional=sizes
    )
    several = st.lists(inner, min_size=1, max_size=3)
    forms = several.map(lambda parts: {"anyOf": parts}) | several.map(lambda parts: {"oneOf": parts})
    objects = _objects(inner)
    nullable = objects.map(lambda node: {**node, "type": ["object", "null"]})
    closed = [arrays, forms, objects, nullable, objects.map(_untyped), _varied(objects), _pairs(inner)]
    texts = st.just({"allOf": [{"$ref": "#/$defs/word"}, {"type": "string", "maxLength": 5}]})
    opened = objects.map(lambda node: {**node, "additionalProperties": True})
    both = st.tuples(opened, opened | st.just({"$ref": "#/$defs/point"})).map(lambda two: {"allOf": [*two]})
    named = st.fixed_dictionaries({"type": st.just("object"), "additionalProperties": inner})
    patterned = inner.map(
        lambda part: {"type": "object", "patternProperties": {"^[ab]$": part}, "additionalProperties": False}
    )
    return st.one_of(*closed, texts, both, named, patterned) if maps else st.one_of(*closed, texts)


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Node]:
    fields = st.dictionaries(st.sampled_from(WORDS), st.tuples(inner, st.booleans()), max_size=4)
    more = st.sampled_from([{}, {"additionalProperties": False}])

    def put_together(drawn: tuple[dict[str, tuple[Any, bool]], Node]) -> Node:
        named, others = drawn
        fields = {name: part for name, (part, _) in named.items()}
        required = [name for name, (_, needed) in named.items() if needed]
        return {"type": "object", "properties": fields, "required": required, **others}

    return _noted(st.tuples(fields, more).map(put_together))


def _untyped(node: Node) -> Node:
    """Return an object that is one only because it has fields, and in which one field may not be."""
    kept = {keyword: value for keyword, value in node.items() if keyword != "type"}
    return {**kept, "properties": {**node["properties"], "gone": False}}


def _varied(objects: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """Return objects with fields of their own, and others that only some of their forms have."""

    def of(at: int, form: Node) -> Node:
        named = {f"{name}2": part for name, part in form["properties"].items()}
        required = [f"{name}2" for name in form["required"]]
        return {"properties": {**named, "which": {"const": at}}, "required": [*required, "which"]}

    def put_together(drawn: tuple[Node, list[Node]]) -> Node:
        own, forms = drawn
        shared = {"type": "object", "properties": own["properties"], "required": own["required"]}
        return {**shared, "oneOf": [of(at, form) for at, form in enumerate(forms)]}

    return st.tuples(objects, st.lists(objects, min_size=1, max_size=2)).map(put_together)


def _pairs(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Node]:
    """Return lists whose items differ by place, with others behind or not."""

    def put_together(drawn: tuple[list[Any], object, int]) -> Node:
        first, rest, fewer = drawn
        return {"type": "array", "prefixItems": first, "items": rest, "minItems": max(0, len(first) - fewer)}

    several = st.lists(inner, min_size=1, max_size=3)
    return st.tuples(several, st.just(False) | inner, st.integers(0, 1)).map(put_together)


@st.composite
def values(draw: st.DrawFn, node: object) -> object:
    """Return a value that fits a schema."""
    value = _value(draw, node, depth=3)
    assume(FITTER.fits(value, node))
    return value


def without_nulls(value: object) -> object:
    """Return a value without the fields that are null, which is what missing ones are told as."""
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return value


def _value(draw: st.DrawFn, node: object, *, depth: int) -> object:
    if not isinstance(node, dict):
        return draw(SCALARS)
    whole = flat(node, DEFS)
    if "const" in whole or "enum" in whole:
        return draw(st.sampled_from(allowed(whole)))
    for keyword in ("anyOf", "oneOf"):
        if keyword in whole:
            form = draw(st.sampled_from(whole.pop(keyword)))
            value = _value(draw, {**whole, "allOf": [form]}, depth=depth)
            # Else it might fit another form by chance, as what that does not name.
            assume(FITTER.fits(value, form))
            return value
    kinds = types_of(whole)
    return _of_kind(draw, draw(st.sampled_from(kinds)), node=whole, depth=depth) if kinds else draw(SCALARS)


def _of_kind(draw: st.DrawFn, kind: str, *, node: Node, depth: int) -> object:
    if kind == "object":
        return _object(draw, node, depth=depth)
    if kind == "array":
        if "prefixItems" in node:
            count = draw(st.integers(node["minItems"], len(node["prefixItems"]) + (node["items"] is not False)))
            return [_value(draw, part, depth=depth) for part in [*node["prefixItems"], node["items"]][:count]]
        most = node.get("minItems", 0) if depth <= 0 else 2
        count = draw(st.integers(min(node.get("minItems", 0), most), most))
        items = [_value(draw, node["items"], depth=depth - 1) for _ in range(count)]
        # Null and left out are one thing, to an API that demands every field.
        assume(not node.get("uniqueItems") or len({key(without_nulls(item)) for item in items}) == count)
        return items
    if kind == "string":
        longest = min(node.get("maxLength", 4), 4)
        return draw(st.text("abz", min_size=node.get("minLength", 0), max_size=longest))
    if kind in ("integer", "number"):
        least, most = node.get("minimum", -9), node.get("exclusiveMaximum", 9) - 1
        assume(least <= most)
        return draw(st.integers(least, most))
    return draw(st.booleans()) if kind == "boolean" else None


def _object(draw: st.DrawFn, node: Node, *, depth: int) -> object:
    named, required = node.get("properties", {}), node.get("required", ())
    others = node.get("additionalProperties")
    may_be = [name for name, part in named.items() if part is not False]
    chosen = [name for name in may_be if name in required or (depth > 0 and draw(st.booleans()))]
    value = {name: _value(draw, named[name], depth=depth - 1) for name in chosen}
    for part in [*node.get("patternProperties", {}).values(), *([others] if isinstance(others, dict) else [])]:
        free = [name for name in "ab" if name not in named and depth > 0 and draw(st.booleans())]
        value |= {name: _value(draw, part, depth=depth - 1) for name in free}
    return value
