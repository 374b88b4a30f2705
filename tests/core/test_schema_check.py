"""Which JSON Schemas are taken, and what becomes of their references."""

import pytest

from tidyllm.core.errors import SettingError
from tidyllm.core.schema_check import DEPTH_MAX, NODES_MAX, check, self_contained


def test_a_schema_without_references_stays_as_it_is() -> None:
    schema = {"type": "object", "properties": {"$ref": {"enum": [1, None]}}, "title": "T", "x-note": [1]}
    assert self_contained(schema) == schema


def test_all_that_is_referred_to_moves_into_the_definitions_at_the_top() -> None:
    moved = self_contained(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Tree",
            "type": "object",
            "properties": {
                "left": {"$ref": "#"},
                "right": {"$ref": "#"},
                "word": {"$ref": "#/definitions/a~1b%20c"},
                "same": {"$ref": "#/properties/list/anyOf/0"},
                "list": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/word"}]},
            },
            "definitions": {"a/b c": {"type": "string", "$defs": {"inner": {}}}},
            "$defs": {"word": {"$ref": "#/definitions/a~1b%20c"}, "unused": {"type": "null"}, "Tree": {}},
        }
    )
    properties = {
        "left": {"$ref": "#/$defs/Tree"},
        "right": {"$ref": "#/$defs/Tree"},
        "word": {"$ref": "#/$defs/a_b_c"},
        "same": {"$ref": "#/$defs/0"},
        "list": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/word"}]},
    }
    tree = {"title": "Tree", "type": "object", "properties": properties}
    assert moved == {
        **tree,
        "$defs": {
            "Tree": tree,
            "a_b_c": {"type": "string"},
            "0": {"type": "integer"},
            "word": {"$ref": "#/$defs/a_b_c"},
        },
    }
    assert self_contained(moved) == moved


def test_two_definitions_of_one_name_are_kept_apart() -> None:
    moved = self_contained(
        {
            "anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/definitions/a"}],
            "$defs": {"a": {"type": "null"}},
            "definitions": {"a": {}},
        }
    )
    assert moved["$defs"] == {"a": {"type": "null"}, "a_": {}}


def nested(depth: int) -> object:
    return {"items": nested(depth - 1)} if depth else {"type": "integer"}


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"const": {1, 2}, "default": object()}, "cannot be written as JSON"),
        ([], "not array"),
        ({"$ref": "https://example.com/s.json"}, "which is not in it: put that under"),
        ({"$ref": 5}, "which is not in it"),
        ({"$ref": "#/$defs/none"}, "which is not in it"),
        ({"$ref": "#/required/x", "required": ["a"]}, "which is not in it"),
        ({"$ref": "#/title", "title": "a"}, "which is no schema"),
        ({"$ref": "#"}, "made of itself"),
        (
            {
                "items": {"$ref": "#/$defs/a"},
                "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"anyOf": [True, {"$ref": "#/$defs/a"}]}},
            },
            "made of itself",
        ),
        ({"anyOf": 5}, "no JSON Schema"),
        ({"properties": []}, "no JSON Schema"),
        ({"anyOf": []}, "'anyOf' that cannot be"),
        ({"items": [{}]}, "what is no schema"),
        ({"type": "text"}, "'type' that cannot be"),
        ({"type": []}, "'type' that cannot be"),
        ({"enum": []}, "'enum' that cannot be"),
        ({"required": "all"}, "'required' that cannot be"),
        ({"pattern": "("}, "'pattern' that cannot be"),
        ({"patternProperties": {"(": {}}}, "'patternProperties' that cannot be"),
        ({"minimum": float("nan")}, "'minimum' that cannot be: null"),
        ({"exclusiveMinimum": True}, "'exclusiveMinimum' that cannot be"),
        ({"minLength": -1}, "'minLength' that cannot be"),
        ({"multipleOf": 0}, "'multipleOf' that cannot be"),
        ({"description": ["x" * 300]}, "…"),
        ({"type": "string", "nullable": True}, "'nullable' at #, which is never checked"),
        ({"items": {"if": {}}}, "'if' at #/items"),
        (nested(DEPTH_MAX + 2), "deep"),
        ({"anyOf": [True, *[{}] * NODES_MAX]}, "parts"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(schema: object, says: str) -> None:
    with pytest.raises(SettingError) as caught:
        self_contained(schema)
    assert says in str(caught.value)


@pytest.mark.parametrize("defs", [[], {"a": True}, {"a": {"$ref": "#"}}])
def test_what_was_not_made_here_is_checked_too(defs: object) -> None:
    with pytest.raises(SettingError):
        check({"type": "null", "$defs": defs})
