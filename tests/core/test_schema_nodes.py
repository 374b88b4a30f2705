"""Schemas that hold at once, said as one; and which definitions contain themselves."""

import pytest

from tidyllm.core.schema_nodes import Node, cyclic_names, flat, key, names_in, type_name, types_of

DEFS: dict[str, Node] = {
    "word": {"type": "string", "description": "A word."},
    "list": {"type": "array", "items": {"$ref": "#/$defs/list"}},
    "holder": {"type": "object", "properties": {"list": {"$ref": "#/$defs/list"}}},
}


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({"$ref": "#/$defs/word"}, DEFS["word"]),
        ({"$ref": "#/$defs/word", "description": "Mine."}, {"type": "string", "description": "Mine."}),
        ({"allOf": [True, {"$ref": "#/$defs/word"}], "maxLength": 3}, {**DEFS["word"], "maxLength": 3}),
        (
            {
                "allOf": [{"properties": {"a": {}, "b": {}}, "required": ["a"]}],
                "properties": {"b": {"type": "null"}},
                "required": ["a", "b"],
            },
            {"properties": {"a": {}, "b": {"allOf": [{}, {"type": "null"}]}}, "required": ["a", "b"]},
        ),
        ({"allOf": [{"type": ["string", "null"]}], "type": ["integer", "null"]}, {"type": "null"}),
        ({"allOf": [{"type": "number"}], "type": "integer"}, {"type": "integer"}),
        ({"allOf": [{"type": "number"}], "type": ["string", "integer"]}, {"type": "integer"}),
        ({"allOf": [{"type": "string"}], "type": "integer"}, {"type": "integer"}),
        ({"allOf": [{"type": ["string", "null", "array"]}], "type": ["string", "null"]}, {"type": ["null", "string"]}),
        ({"allOf": [{"enum": [1, 2, True]}], "enum": [2.0, 3, True]}, {"enum": [2.0, True]}),
        ({"allOf": [{"enum": [1]}], "enum": [2]}, {"enum": [2]}),
        ({"allOf": [{"minimum": 3}], "minimum": 1}, {"minimum": 1}),
        (
            {"allOf": [{"anyOf": [{}, False]}], "anyOf": [{"minimum": 1}, {"type": "null"}]},
            {"anyOf": [{"allOf": [{}, {"minimum": 1}]}, {"allOf": [{}, {"type": "null"}]}]},
        ),
        ({"allOf": [{"oneOf": [False]}], "oneOf": [{}]}, {"oneOf": [False]}),
        ({"allOf": [{"anyOf": [{}] * 501}], "anyOf": [{}, True]}, {"anyOf": [{}, True]}),
        ({"allOf": [{"prefixItems": [{}, {}], "items": False}], "prefixItems": [{}]}, {"prefixItems": [{}]}),
    ],
)
def test_what_holds_at_once_is_one_schema_that_takes_at_least_as_much(schema: Node, wanted: Node) -> None:
    assert flat(schema, DEFS) == wanted


def test_definitions_that_contain_themselves_are_known() -> None:
    assert cyclic_names(DEFS) == {"list"}
    assert cyclic_names({**DEFS, "list": {"items": {"$ref": "#/$defs/holder"}}}) == {"list", "holder"}
    assert names_in({"anyOf": [True, {"$ref": "#/$defs/word"}]}) == {"word"}


def test_types_are_those_that_are_named_or_those_of_the_values() -> None:
    assert types_of({"type": "string"}) == ("string",)
    assert types_of({"type": ["string", "null"]}) == ("string", "null")
    assert types_of({"enum": ["a", 1, 1.5, "b"]}) == ("string", "integer", "number")
    assert types_of({"const": None}) == ("null",)
    assert types_of({"properties": {}}) == ("object",)
    assert types_of({}) == ()
    assert [type_name(value) for value in (True, [1], {"a": 1})] == ["boolean", "array", "object"]


def test_values_are_equal_as_in_json() -> None:
    assert key([1, {"a": None}]) == key([1.0, {"a": None}])
    assert key(True) != key(1)
    assert key([1]) != key({"1": 1})
