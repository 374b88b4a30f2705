"""Schemas as values: what is asked for, how answers are read, and what is written down."""

from typing import cast

import msgspec
import pytest

from tidyllm.core.errors import InvalidAnswerError, SettingError
from tidyllm.core.schema import Schema
from tidyllm.core.schema_fields import Field

REVIEW = Schema(
    name="review",
    definition={
        "$ref": "#/$defs/Review",
        "$defs": {
            "Review": {
                "type": "object",
                "properties": {"stars": {"type": "integer", "maximum": 5}, "note": {"type": "string", "default": ""}},
                "required": ["stars"],
            }
        },
    },
)
YES = Schema(name="answer", definition={"type": "boolean"})


def test_an_answer_is_read_with_its_defaults() -> None:
    assert REVIEW.read('{"stars": 4}') == {"stars": 4, "note": ""}
    assert REVIEW.read_as('{"stars": 4}') == {"stars": 4, "note": ""}


def test_a_fence_around_the_answer_does_no_harm() -> None:
    assert REVIEW.read('```json\n{"stars": 4, "note": "```"}\n```\n') == {"stars": 4, "note": "```"}
    assert YES.read("\n```\ntrue\n```") is True


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"stars": 6}', "stars: 6 must be at most 5."),
        ('{"stars": 4', "it is no JSON: "),
        ("Four stars.", "it is no JSON: "),
        ("[" * 100_000, "it is no JSON: "),
        ('"half a character: \ud800"', "it is no JSON: "),
    ],
)
def test_what_does_not_fit_is_told_with_the_answer(text: str, says: str) -> None:
    with pytest.raises(InvalidAnswerError, match="The answer does not fit the schema: ") as caught:
        REVIEW.read(text)
    assert says in str(caught.value)
    assert caught.value.body == text.encode(errors="replace")


def test_an_answer_that_is_nested_too_deep_does_not_fit() -> None:
    tree: dict[str, object] = {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]}}
    schema = Schema(name="tree", definition={"$ref": "#/$defs/tree", "$defs": {"tree": tree}})
    assert schema.read("[[]]") == [[]]
    with pytest.raises(InvalidAnswerError, match="nested too deep"):
        schema.read("[" * 900 + "]" * 900)


def test_an_answer_that_is_no_object_is_asked_for_as_the_one_field_of_one() -> None:
    assert not REVIEW.wrapped
    assert REVIEW.top["properties"].keys() == {"stars", "note"}
    assert YES.wrapped
    assert YES.top == {
        "type": "object",
        "properties": {"value": {"type": "boolean"}},
        "required": ["value"],
        "additionalProperties": False,
    }
    assert YES.fields == (Field(name="value", kind="boolean", nullable=False),)
    assert YES.read('{"value": true}') is True
    assert YES.read("true") is True


@pytest.mark.parametrize(
    "definition",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": {}}, "anyOf": [{"required": ["a"]}, {}]},
        {"anyOf": [{"type": "object", "properties": {}}, {"type": "null"}]},
    ],
)
def test_what_is_no_object_with_fields_alone_is_wrapped_too(definition: dict[str, object]) -> None:
    assert Schema(name="x", definition=definition).wrapped


def test_of_several_forms_the_one_that_names_all_the_fields_is_meant() -> None:
    names = (("a",), ("b", "c"))
    forms = [{"type": "object", "properties": {name: {"type": "integer"} for name in some}} for some in names]
    schema = Schema(name="x", definition={"anyOf": forms})
    assert schema.read('{"value": {"b": 1, "c": null}}') == {"b": 1}
    assert schema.read('{"value": {"b": 1, "d": null}}') == {"b": 1, "d": None}


def test_a_null_is_read_as_one_before_it_stands_for_a_field_left_out() -> None:
    def of(kind: str) -> dict[str, object]:
        return {"type": "object", "properties": {"a": {"type": kind}}}

    number = of("integer")
    schema = Schema(name="x", definition={"oneOf": [number, of("null")]})
    assert schema.read('{"value": {"a": null}}') == {"a": None}
    assert Schema(name="x", definition=number).read('{"a": null}') == {}


def test_a_null_for_a_field_of_another_form_is_left_out() -> None:
    def of(**named: object) -> dict[str, object]:
        return {"type": "object", "properties": named, "additionalProperties": False}

    pair = Schema(name="x", definition={"type": "array", "prefixItems": [of(a={"type": "integer"}), of()]})
    # Told as a list of either, both of whose fields must be answered.
    assert pair.read('{"value": [{"a": 1}, {"a": null}]}') == [{"a": 1}, {}]
    with pytest.raises(InvalidAnswerError, match=r"\[1\].a: there is no such field"):
        pair.read('{"value": [{"a": 1}, {"a": 1}]}')


def test_a_class_makes_instances_and_has_a_say() -> None:
    def make(value: object) -> object:
        stars = cast("dict[str, int]", value)["stars"]
        if stars == 0:
            raise ValueError("stars: no stars, no review")
        return stars, value

    schema = REVIEW.made_by(make)
    assert schema == REVIEW
    assert REVIEW.make is None
    assert schema.read('{"stars": 4, "note": null}') == {"stars": 4, "note": ""}
    assert schema.read_as('{"stars": 4, "note": null}') == (4, {"stars": 4})
    with pytest.raises(InvalidAnswerError, match="no stars, no review"):
        schema.read('{"stars": 0}')
    assert msgspec.json.decode(msgspec.json.encode(schema), type=Schema).make is None


def test_it_is_written_and_read_back_with_its_fields_in_order() -> None:
    again = msgspec.json.decode(msgspec.json.encode(REVIEW), type=Schema)
    assert again == REVIEW
    assert again.canonical() == REVIEW.canonical() == msgspec.json.encode(REVIEW).decode()
    assert [field.name for field in again.fields] == ["stars", "note"]


@pytest.mark.parametrize(
    ("name", "definition"), [("", {}), ("a b", {}), ("x" * 65, {}), ("x", {"$ref": "#/$defs/none"})]
)
def test_what_is_no_schema_cannot_be_made(name: str, definition: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        Schema(name=name, definition=definition)
