"""Random schemas, and values that fit them, for property tests."""

from collections.abc import Mapping
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from tidyllm.core.schema_fit import Fitter, Misfit
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
DEFS: Mapping[str, Node] = {"word": {"type": "string", "minLength": 1}, "point": POINT, "tree": TREE}
FITTER = Fitter(defs=DEFS, fills=False)

SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from([0.5, 1.5]) | st.sampled_from(WORDS)
NOTES = st.fixed_dictionaries({}, optional={"description": st.just("Said of it."), "title": st.just("T")})


@st.composite
def leaves(draw: st.DrawFn, *, recursive: bool) -> Node:
    names = [name for name in DEFS if recursive or name != "tree"]
    kinds: list[st.SearchStrategy[Node]] = [
        st.fixed_dictionaries(
            {"type": st.just("string")},
            optional={
                "minLength": st.integers(0, 2),
                "maxLength": st.integers(2, 9),
                "pattern": st.sampled_from(["^[a-z]*$", "^(?!z)", "."]),
                "format": st.sampled_from(["email", "date", "made-up"]),
            },
        ),
        st.fixed_dictionaries(
            {"type": st.sampled_from(["integer", "number"])},
            optional={
                "minimum": st.integers(-5, 0),
                "exclusiveMaximum": st.integers(3, 9),
                "multipleOf": st.just(1),
                "format": st.just("int32"),
            },
        ),
        st.sampled_from(["boolean", "null", "string", "integer"]).map(lambda kind: {"type": kind}),
        st.just({"type": ["string", "null"], "maxLength": 3}),
        st.lists(SCALARS, min_size=1, max_size=3).map(lambda values: {"enum": values}),
        SCALARS.map(lambda value: {"const": value}),
        st.sampled_from(names).map(lambda name: {"$ref": f"#/$defs/{name}"}),
    ]
    return {**draw(st.one_of(kinds)), **draw(NOTES)}


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Node]) -> Node:
    named = draw(st.dictionaries(st.sampled_from(WORDS), inner, max_size=4))
    required = [name for name in named if draw(st.booleans())]
    closed = draw(st.sampled_from([{}, {"additionalProperties": False}]))
    return {"type": "object", "properties": named, "required": required, **closed, **draw(NOTES)}


def schemas(*, maps: bool, recursive: bool) -> st.SearchStrategy[Any]:
    """Return schemas; with `maps` some have objects whose fields are not named, or say nothing of some value."""
    anything: st.SearchStrategy[Any] = st.sampled_from([{}, True, {"description": "Whatever."}])
    first: st.SearchStrategy[Any] = leaves(recursive=recursive)
    return st.recursive(first | anything if maps else first, lambda inner: _larger(inner, maps=maps), max_leaves=8)


def _larger(inner: st.SearchStrategy[Any], *, maps: bool) -> st.SearchStrategy[Any]:
    sizes = {"minItems": st.integers(0, 2), "maxItems": st.integers(2, 4), "uniqueItems": st.booleans()}
    arrays = st.fixed_dictionaries({"type": st.just("array"), "items": inner}, optional=sizes)
    pairs = st.lists(inner, min_size=1, max_size=3).map(
        lambda parts: {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts)}
    )
    several = st.lists(inner, min_size=1, max_size=3)
    forms = several.map(lambda parts: {"anyOf": parts}) | several.map(lambda parts: {"oneOf": parts})
    at_once = st.tuples(objects(inner), st.sampled_from(["word", "point"])).map(
        lambda both: (
            {"allOf": [{**both[0], "additionalProperties": True}, {"$ref": f"#/$defs/{both[1]}"}]}
            if both[1] == "point" and maps
            else {"allOf": [{"$ref": "#/$defs/word"}, {"type": "string", "maxLength": 5}]}
        )
    )
    named = st.fixed_dictionaries({"type": st.just("object"), "additionalProperties": inner})
    patterned = inner.map(
        lambda part: {"type": "object", "patternProperties": {"^[ab]$": part}, "additionalProperties": False}
    )
    all_forms = [arrays, pairs, objects(inner), forms, at_once]
    return st.one_of(*all_forms, named, patterned) if maps else st.one_of(*all_forms)


@st.composite
def values(draw: st.DrawFn, node: object) -> object:
    """Return a value that fits a schema."""
    value = _value(draw, node, depth=3)
    assume(_fits(value, node))
    return value


def without_nulls(value: object) -> object:
    """Return a value without the fields that are null, which is what missing ones are told as."""
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return value


def _fits(value: object, node: object) -> bool:
    try:
        FITTER.fit(value, node)
    except Misfit:
        return False
    return True


def _value(draw: st.DrawFn, node: object, *, depth: int) -> object:
    if not isinstance(node, dict):
        return draw(SCALARS)
    whole = flat(node, DEFS)
    if "const" in whole or "enum" in whole:
        return draw(st.sampled_from(allowed(whole)))
    for keyword in ("anyOf", "oneOf"):
        if keyword in whole:
            form = draw(st.sampled_from(whole[keyword]))
            value = _value(draw, form, depth=depth)
            # Else it might fit another form by chance, as what that does not name.
            assume(_fits(value, form))
            return value
    kinds = types_of(whole)
    return _of_kind(draw, draw(st.sampled_from(kinds)), node=whole, depth=depth) if kinds else draw(SCALARS)


def _of_kind(draw: st.DrawFn, kind: str, *, node: Node, depth: int) -> object:
    if kind == "object":
        return _object(draw, node, depth=depth)
    if kind == "array":
        if "prefixItems" in node:
            return [_value(draw, part, depth=depth) for part in node["prefixItems"]]
        most = node.get("minItems", 0) if depth <= 0 else 2
        count = draw(st.integers(min(node.get("minItems", 0), most), most))
        items = [_value(draw, node["items"], depth=depth - 1) for _ in range(count)]
        # Null and left out are one thing, to an API that demands every field.
        assume(not node.get("uniqueItems") or len(set(map(key, without_nulls(items)))) == count)
        return items
    if kind == "string":
        longest = min(node.get("maxLength", 4), 4)
        return draw(st.text("abz", min_size=node.get("minLength", 0), max_size=longest))
    if kind in ("integer", "number"):
        return draw(st.integers(node.get("minimum", -9), node.get("exclusiveMaximum", 9) - 1))
    return draw(st.booleans()) if kind == "boolean" else None


def _object(draw: st.DrawFn, node: Node, *, depth: int) -> object:
    named, required = node.get("properties", {}), node.get("required", ())
    others = node.get("additionalProperties")
    chosen = [name for name in named if name in required or (depth > 0 and draw(st.booleans()))]
    value = {name: _value(draw, named[name], depth=depth - 1) for name in chosen}
    for part in [*node.get("patternProperties", {}).values(), *([others] if isinstance(others, dict) else [])]:
        value |= {name: _value(draw, part, depth=depth - 1) for name in "ab" if depth > 0 and draw(st.booleans())}
    return value
