"""The columns that follow from a schema."""

import pytest

from tidyllm.core.schema_fields import Field, fields_of
from tidyllm.core.schema_nodes import Node

DEFS: dict[str, Node] = {
    "tree": {"type": "object", "properties": {"name": {"type": "string"}, "left": {"$ref": "#/$defs/tree"}}},
}


def text(name: str = "", *, nullable: bool = False, enum: tuple[str, ...] | None = None) -> Field:
    return Field(name=name, kind="string", nullable=nullable, enum=enum)


def held(part: object, *, required: bool = True) -> Field:
    (field,) = fields_of({"properties": {"x": part}, "required": ["x"] if required else []}, DEFS)
    return field


@pytest.mark.parametrize(
    ("part", "kind", "nullable"),
    [
        ({"type": "boolean"}, "boolean", False),
        ({"type": "integer"}, "integer", False),
        ({"type": ["number", "null"]}, "number", True),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}, {"type": "null"}]}, "number", True),
        ({"oneOf": [{"type": "integer"}, {"const": 3}]}, "integer", False),
        ({"enum": [1, 2, None]}, "integer", True),
        ({"const": True}, "boolean", False),
        ({"type": ["integer", "string"]}, "any", False),
        ({"anyOf": [{"type": "integer"}, {}]}, "any", False),
        ({"type": "null"}, "any", True),
        ({}, "any", False),
        (True, "any", False),
        ({"type": "object"}, "any", False),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "any", False),
        ({"type": "array"}, "any", False),
        ({"type": "array", "prefixItems": [{}], "items": {"type": "integer"}}, "any", False),
        ({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "array"}]}, "any", False),
        ({"properties": {"a": {}}, "oneOf": [{"properties": {"b": {}}}]}, "any", False),
        ({"type": ["object", "null"], "properties": {"a": {}}, "oneOf": [{"properties": {"b": {}}}]}, "any", True),
    ],
)
def test_a_field_has_the_one_type_that_it_may_have(part: object, kind: str, nullable: bool) -> None:  # noqa: FBT001
    field = held(part)
    assert (field.name, field.kind, field.nullable) == ("x", kind, nullable)


def test_a_text_knows_what_it_may_be() -> None:
    assert held({"type": "string"}) == text("x")
    assert held({"enum": ["a", "b"]}) == text("x", enum=("a", "b"))
    assert held({"anyOf": [{"const": "a"}, {"enum": ["b", "a"]}, {"type": "null"}]}) == text(
        "x", nullable=True, enum=("a", "b")
    )
    assert held({"enum": ["a", None]}) == text("x", nullable=True, enum=("a",))
    assert held({"anyOf": [{"const": "a"}, {"type": "string"}]}) == text("x")


def test_a_field_may_be_missing_unless_it_is_required_or_has_a_default() -> None:
    assert held({"type": "string"}, required=False) == text("x", nullable=True)
    assert held({"type": "string", "default": "a"}, required=False) == text("x")


def test_lists_and_objects_hold_fields_until_they_hold_themselves() -> None:
    tree = held({"type": ["array", "null"], "items": {"$ref": "#/$defs/tree"}})
    left = Field(name="left", kind="any", nullable=True)
    item = Field(name="", kind="object", nullable=False, fields=(text("name", nullable=True), left))
    assert tree == Field(name="x", kind="array", nullable=True, item=item)
