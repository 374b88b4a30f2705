"""What becomes of a schema in each dialect, keyword by keyword."""

import json
from typing import Any

import msgspec
import pytest

from tidyllm.core.errors import SettingError
from tidyllm.core.schema import Schema
from tidyllm.core.schema_check import self_contained
from tidyllm.core.schema_nodes import Node
from tidyllm.dialects.json_schema.say import said
from tidyllm.dialects.json_schema.takes import (
    ANTHROPIC,
    ANY,
    AZURE,
    GEMINI,
    GRAMMAR,
    GROQ,
    OPENAI,
    ROUTED,
    VLLM,
    Takes,
)

STRICT = msgspec.structs.replace(OPENAI, keywords=frozenset())
TEXT = {"type": "string"}


def told(part: object, takes: Takes, **defs: object) -> Node:
    """Return how one required field is told."""
    whole = {"type": "object", "properties": {"f": part}, "required": ["f"], "$defs": defs}
    answer: Any = said(Schema(name="x", definition=self_contained(whole)), takes)
    assert answer["type"] == "object"
    assert answer["additionalProperties"] is False
    field: Node = answer["properties"]["f"]
    return {**field, "$defs": answer["$defs"]} if "$defs" in answer else field


def test_every_field_must_be_answered_where_that_is_demanded_if_only_with_null() -> None:
    optional = {
        "a": TEXT,
        "b": {"type": ["string", "null"]},
        "c": {"enum": ["x"]},
        "d": {"anyOf": [TEXT, {"type": "integer"}]},
        "e": {"anyOf": [TEXT, {"type": "null"}]},
        "f": {"$ref": "#/$defs/f"},
        "g": False,
        "h": {"const": 1},
    }
    whole: Node = {"type": "object", "properties": optional, "required": ["h"], "$defs": {"f": TEXT}}
    answer: Any = said(Schema(name="x", definition=whole), OPENAI)
    null = {"type": "null"}
    assert answer["properties"] == {
        "a": {"type": ["string", "null"]},
        "b": {"type": ["string", "null"]},
        "c": {"anyOf": [{"type": "string", "enum": ["x"]}, null]},
        "d": {"anyOf": [TEXT, {"type": "integer"}, null]},
        "e": {"anyOf": [TEXT, null]},
        "f": {"anyOf": [{"$ref": "#/$defs/f"}, null]},
        "h": {"type": "integer", "const": 1},
    }
    assert answer["required"] == [*answer["properties"]]
    loose: Any = said(Schema(name="x", definition=whole), ANTHROPIC)
    assert loose["required"] == ["h"]
    assert loose["properties"]["a"] == TEXT


@pytest.mark.parametrize(
    ("part", "takes", "wanted"),
    [
        # What is refused is told in words, with what the field's own words are.
        ({"type": "integer", "minimum": 1}, OPENAI, {"type": "integer", "minimum": 1}),
        ({"type": "integer", "minimum": 1}, AZURE, {"type": "integer", "description": 'It must fit {"minimum":1}.'}),
        (
            {**TEXT, "description": "A word.", "minLength": 2, "format": "uri", "title": "T"},
            OPENAI,
            {**TEXT, "description": 'A word. It must fit {"minLength":2,"format":"uri"}.', "title": "T"},
        ),
        ({**TEXT, "format": "uri"}, ANTHROPIC, {**TEXT, "format": "uri"}),
        ({**TEXT, "format": "made-up"}, ANY, {**TEXT, "format": "made-up"}),
        ({**TEXT, "pattern": "^a+$"}, OPENAI, {**TEXT, "pattern": "^a+$"}),
        ({**TEXT, "pattern": "^(?=a)"}, ANY, {**TEXT, "description": 'It must fit {"pattern":"^(?=a)"}.'}),
        ({**TEXT, "not": {"const": ""}}, ANY, {**TEXT, "description": 'It must fit {"not":{"const":""}}.'}),
        ({"type": "integer", "format": "int32"}, ANY, {"type": "integer"}),
        ({**TEXT, "default": "a"}, ANTHROPIC, {**TEXT, "default": "a"}),
        ({**TEXT, "default": "a"}, OPENAI, TEXT),
        # Enums.
        ({"enum": ["a", 1, None]}, OPENAI, {"type": ["string", "integer", "null"], "enum": ["a", 1, None]}),
        (
            {"enum": ["a", 1, None]},
            GEMINI,
            {"anyOf": [{"type": ["string", "integer"], "enum": ["a", 1]}, {"type": "null"}]},
        ),
        ({"enum": [None, 0]}, GEMINI, {"anyOf": [{"type": "integer", "enum": [0]}, {"type": "null"}]}),
        ({"type": "integer", "enum": [0, None]}, GEMINI, {"type": "integer", "enum": [0]}),
        (
            {"type": ["object", "integer", "null"], "enum": [None, 0], "description": "D"},
            GEMINI,
            {"anyOf": [{"type": ["object", "integer"], "enum": [0]}, {"type": "null"}], "description": "D"},
        ),
        ({"const": None}, GEMINI, {"type": "null"}),
        ({"const": True}, GEMINI, {"type": "boolean"}),
        ({"const": "a"}, GEMINI, {"type": "string", "enum": ["a"]}),
        ({"const": "a"}, GROQ, {"type": "string", "enum": ["a"]}),
        ({"const": [1]}, ANY, {"type": "array", "const": [1]}),
        # Several forms.
        ({"oneOf": [TEXT, False, {"type": "null"}]}, OPENAI, {"anyOf": [TEXT, {"type": "null"}]}),
        ({"anyOf": [TEXT, TEXT], "description": "D"}, OPENAI, {**TEXT, "description": "D"}),
        (
            {"anyOf": [{"type": "integer", "minimum": 1, "description": "E"}], "description": "D"},
            AZURE,
            {"type": "integer", "description": 'D. E. It must fit {"minimum":1}.'},
        ),
        ({"anyOf": [{"type": "integer"}, {}]}, ANY, {}),
        (
            {"type": "object", "oneOf": [{"properties": {"a": TEXT}, "required": ["a"]}]},
            OPENAI,
            {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "additionalProperties": False},
        ),
        (
            {"type": "object", "properties": {"a": TEXT}, "anyOf": [{"required": ["a"]}]},
            ANTHROPIC,
            {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "additionalProperties": False},
        ),
        # Schemas that hold at once.
        (
            {"allOf": [{"type": "integer", "minimum": 1}, {"maximum": 3}]},
            OPENAI,
            {"type": "integer", "minimum": 1, "maximum": 3},
        ),
        # Lists.
        ({"type": "array", "items": TEXT, "minItems": 1}, ANTHROPIC, {"type": "array", "items": TEXT, "minItems": 1}),
        (
            {"type": "array", "items": TEXT, "minItems": 2},
            ANTHROPIC,
            {"type": "array", "items": TEXT, "description": 'It must fit {"minItems":2}.'},
        ),
        ({"items": TEXT}, OPENAI, {"type": "array", "items": TEXT}),
        ({"type": "array"}, ANY, {"type": "array", "items": {}}),
        (
            {"type": "array", "prefixItems": [TEXT, {"type": "null"}], "maxItems": 2},
            STRICT,
            {
                "type": "array",
                "items": {"anyOf": [TEXT, {"type": "null"}]},
                "description": 'It must fit {"maxItems":2,"prefixItems":[{"type":"string"},{"type":"null"}]}.',
            },
        ),
        ({"prefixItems": [TEXT], "items": False}, GEMINI, {"type": "array", "prefixItems": [TEXT]}),
        ({"prefixItems": [TEXT], "items": TEXT}, GEMINI, {"type": "array", "prefixItems": [TEXT], "items": TEXT}),
        # Objects with fields that they do not name.
        ({"type": "object"}, ANY, {"type": "object", "additionalProperties": True}),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            GEMINI,
            {"type": "object", "additionalProperties": {"type": "integer"}},
        ),
        (
            {"type": "object", "required": ["a"], "properties": {}, "additionalProperties": True},
            ANY,
            {"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": True},
        ),
        (
            {"type": "object", "patternProperties": {"^a": TEXT}, "additionalProperties": False},
            ANY,
            {"type": "object", "patternProperties": {"^a": TEXT}, "additionalProperties": False},
        ),
        (
            {"type": "object", "patternProperties": {"^a": TEXT}, "additionalProperties": TEXT},
            ANY,
            {"type": "object", "patternProperties": {"^a": TEXT}, "additionalProperties": TEXT},
        ),
        (
            {"type": "object", "patternProperties": {"^a": TEXT}, "additionalProperties": False},
            VLLM,
            {
                "type": "object",
                "additionalProperties": True,
                "description": 'It must fit {"patternProperties":{"^a":{"type":"string"}}}.',
            },
        ),
        (
            {"type": "object", "properties": {}},
            OPENAI,
            {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
        ),
        # Anything.
        (True, ANY, {}),
        ({"description": "D"}, GRAMMAR, {"description": "D"}),
    ],
)
def test_a_field_is_told_in_the_dialect(part: object, takes: Takes, wanted: Node) -> None:
    assert told(part, takes) == wanted


def test_forms_have_the_fields_beside_them_and_those_that_only_they_name() -> None:
    def of(**named: object) -> Node:
        return {"type": "object", "properties": named, "required": [*named], "additionalProperties": False}

    one, two = {"const": "one"}, {"const": "two"}
    forms = [{"properties": {"kind": one, "a": TEXT}, "required": ["a"]}, {"properties": {"kind": two}}]
    shared = {"type": "object", "properties": {"kind": TEXT}, "required": ["kind"], "description": "D"}
    kinds = [of(kind={**TEXT, **one}, a=TEXT), of(kind={**TEXT, **two})]
    assert told({**shared, "oneOf": forms}, OPENAI) == {"anyOf": kinds, "description": "D"}
    # And so it is where forms of two kinds hold at once.
    more = [{"properties": {"b": TEXT}}]
    both = [{**kinds[0], "properties": {**kinds[0]["properties"], "b": TEXT}}]
    both += [{**kinds[1], "properties": {**kinds[1]["properties"], "b": TEXT}}]
    assert told({**shared, "oneOf": forms, "anyOf": more}, ANTHROPIC)["anyOf"] == both
    assert told({"allOf": [{**shared, "oneOf": forms}, {"oneOf": more}]}, ANTHROPIC)["anyOf"] == both


def test_nothing_stands_beside_a_reference() -> None:
    ref = {"$ref": "#/$defs/word"}
    assert told({**ref, "default": "a"}, OPENAI, word=TEXT) == {**ref, "$defs": {"word": TEXT}}
    assert told({**ref, "description": "Mine"}, OPENAI, word=TEXT) == {**TEXT, "description": "Mine"}
    assert told({"anyOf": [ref], "description": "Mine"}, OPENAI, word=TEXT) == {
        "anyOf": [ref],
        "description": "Mine",
        "$defs": {"word": TEXT},
    }


def test_a_schema_that_contains_itself_goes_on_doing_so_where_it_may() -> None:
    ref = {"$ref": "#/$defs/tree"}
    tree = {"type": "object", "properties": {"left": {**ref, "title": "Left"}, "right": {"allOf": [ref, {}]}}}
    closed = {"type": "object", "required": ["left", "right"], "additionalProperties": False}
    nullable = {"anyOf": [ref, {"type": "null"}]}
    both = {**closed, "properties": {"left": nullable, "right": nullable}}
    assert told({**ref, "title": "Top"}, OPENAI, tree=tree) == {**both, "title": "Top", "$defs": {"tree": both}}
    for part in (ref, {**ref, "title": "Top"}, {"allOf": [ref]}):
        with pytest.raises(
            SettingError, match=r"Claude cannot .*: the answer\.f contains itself, .* say how deep it goes"
        ):
            told(part, ANTHROPIC, tree=tree)


POINT = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
"""It names its fields, and is meant to have no others."""


def test_a_definition_is_written_out_within_itself_where_more_fields_stand_beside_it() -> None:
    def wider(part: object) -> Node:
        more = {"type": "object", "properties": {"a": part}, "additionalProperties": True}
        return {"allOf": [more, {"$ref": "#/$defs/point"}]}

    def wanted(part: object) -> Node:
        named = {"a": part, "x": {"type": "integer"}}
        return {"type": "object", "properties": named, "required": ["x"], "additionalProperties": True}

    assert told(wider(wider(TEXT)), ANY, point=POINT) == wanted(wanted(TEXT))


def test_a_schema_that_contains_itself_with_more_fields_is_an_error() -> None:
    ref = {"$ref": "#/$defs/tree"}

    def tree(beside: Node, **own: object) -> Node:
        return {"type": "object", "properties": {"v": TEXT, "kid": {"allOf": [ref, beside]}}, **own}

    for beside in (
        {"properties": {"more": TEXT}},
        {"additionalProperties": TEXT},
        {"patternProperties": {"^a": TEXT}},
    ):
        with pytest.raises(SettingError, match=r"contains itself, by way of 'tree', with more .* name them in 'tree'"):
            told(ref, ANY, tree=tree(beside))
    for narrower in ({"properties": {"v": {"const": "a"}}}, {"additionalProperties": False}):
        assert told(ref, ANY, tree=tree(narrower))["$defs"]["tree"]["properties"]["kid"] == ref
    # What the definition says itself of other fields holds wherever it is referred to.
    open_one = told(ref, ANY, tree=tree({"properties": {"more": TEXT}}, additionalProperties=True))
    assert open_one["$defs"]["tree"]["properties"]["kid"] == ref


def test_the_way_by_which_a_schema_contains_itself_is_not_required_where_it_must_not_be() -> None:
    node = {
        "type": "object",
        "properties": {"v": TEXT, "kids": {"items": {"$ref": "#/$defs/node"}}},
        "required": ["v", "kids"],
    }
    assert told({"$ref": "#/$defs/node"}, GEMINI, node=node)["$defs"]["node"]["required"] == ["v"]
    assert told({"$ref": "#/$defs/node"}, GRAMMAR, node=node)["$defs"]["node"]["required"] == ["v", "kids"]


def test_an_answer_that_is_no_object_is_put_into_one() -> None:
    assert said(Schema(name="x", definition={"type": "boolean"}), GROQ) == {
        "type": "object",
        "properties": {"value": {"type": "boolean"}},
        "required": ["value"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({}, "the answer.f may be anything. Instead, say what it is."),
        ({"minimum": 3}, "the answer.f may be anything"),
        ({"type": "array"}, "the answer.f[] may be anything"),
        ({"type": "array", "items": False}, "the answer.f[] may be nothing at all"),
        ({"anyOf": [False]}, "the answer.f may be nothing at all"),
        ({"type": "object"}, "the answer.f may have fields that it does not name. Instead, ask for a list of objects"),
        ({"type": "object", "properties": {"a": TEXT}, "additionalProperties": True}, "fields that it does not name"),
        ({"type": "object", "properties": {}, "patternProperties": {"a": TEXT}}, "fields that it does not name"),
        ({"enum": [[1]]}, "the answer.f has an enum of lists or objects"),
    ],
)
def test_what_cannot_be_told_is_an_error_that_says_where(part: object, says: str) -> None:
    with pytest.raises(SettingError, match="OpenAI cannot be asked for this schema: ") as caught:
        told(part, OPENAI)
    assert says in str(caught.value)


def chain(length: int) -> Node:
    """Return a schema whose references, written out, are two to the power of the length."""
    defs: Node = {"d0": TEXT}
    for at in range(1, length):
        ref = {"$ref": f"#/$defs/d{at - 1}", "description": "x"}
        defs[f"d{at}"] = {"type": "object", "properties": {"a": ref, "b": ref}}
    return {"$ref": f"#/$defs/d{length - 1}", "$defs": defs}


def test_references_that_would_be_too_many_written_out_are_an_error() -> None:
    with pytest.raises(SettingError, match="parts once its references are written out"):
        said(Schema(name="x", definition=chain(20)), ANY)


def nested(depth: int) -> Node:
    inner = nested(depth - 1) if depth > 1 else TEXT
    return {"type": "object", "properties": {"a": inner}, "required": ["a"]}


MANY = {f"f{number}": TEXT for number in range(101)}
UNIONS = {f"f{number}": {"anyOf": [TEXT, {"type": "null"}]} for number in range(17)}


@pytest.mark.parametrize(
    ("definition", "takes", "says"),
    [
        (
            {"type": "object", "properties": MANY, "required": [*MANY]},
            AZURE,
            "Azure takes schemas with up to 100 fields; this one has 101.",
        ),
        (nested(6), AZURE, "up to 5 levels of objects in objects; this one has 6"),
        (nested(11), OPENAI, "up to 10 levels"),
        ({"enum": [*range(1001)]}, OPENAI, "up to 1,000 values in enums"),
        ({"const": "x" * 120_001}, ROUTED, "up to 120,000 characters"),
        ({"const": "x" * 120_001}, OPENAI, "up to 120,000 characters"),
        ({"enum": [f"{number:080}" for number in range(251)]}, OPENAI, "with up to 15,000 characters; one has 20,080"),
        ({"type": "object", "properties": MANY}, ANTHROPIC, "up to 24 fields that may be left out; this one has 101"),
        (
            {
                "type": "object",
                "properties": UNIONS,
                "required": [*UNIONS],
            },
            ANTHROPIC,
            "up to 16 places where several types may stand; this one has 17",
        ),
    ],
)
def test_a_schema_that_is_too_large_is_an_error(definition: Node, takes: Takes, says: str) -> None:
    with pytest.raises(SettingError) as caught:
        said(Schema(name="x", definition=definition), takes)
    assert says in str(caught.value)


def test_depth_is_counted_through_references_but_not_in_circles() -> None:
    defs = {
        "leaf": nested(4),
        "tree": {"type": "object", "properties": {"kids": {"items": {"$ref": "#/$defs/tree"}}}},
    }
    leaf, tree = {"$ref": "#/$defs/leaf"}, {"$ref": "#/$defs/tree"}
    assert told({"items": leaf}, AZURE, **defs)
    assert told(tree, AZURE, **defs)
    with pytest.raises(SettingError, match="5 levels of objects in objects; this one has 6"):
        told({"type": "object", "properties": {"a": leaf, "b": leaf}}, AZURE, **defs)


def test_a_small_enum_may_have_long_values() -> None:
    values = [f"{number:0100}" for number in range(250)]
    assert told({"enum": values}, OPENAI)["enum"] == values
    short = [str(number) for number in range(300)]
    assert json.dumps(told({"enum": short}, OPENAI)["enum"])
