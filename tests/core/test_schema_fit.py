"""Which values fit a schema, what is filled in, and how it is said what does not fit."""

import pytest

from tidyllm.core.schema_fit import Fitter, Misfit
from tidyllm.core.schema_nodes import Node

DEFS: dict[str, Node] = {
    "word": {"type": "string", "minLength": 2},
    "tree": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}},
}
FITTER = Fitter(defs=DEFS, fills=True)
WITH_NULLS = Fitter(defs=DEFS, fills=True, nulls=True)


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (None, True),
        ("a", {}),
        (1, {"type": "number"}),
        (1.5, {"type": ["integer", "number"]}),
        (True, {"enum": [True]}),
        (1.0, {"const": 1}),
        ([1, {"a": [None]}], {"enum": [[1.0, {"a": [None]}]]}),
        ("äöü", {"maxLength": 3, "pattern": "ö"}),
        (0.3, {"multipleOf": 0.1}),
        (1e300, {"multipleOf": 0.5}),
        (2, {"minimum": 2, "maximum": 2, "exclusiveMinimum": 1, "exclusiveMaximum": 3}),
        ([1, True, "1"], {"uniqueItems": True, "minItems": 3, "maxItems": 3}),
        ([1, "a", None], {"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": {"type": "null"}}),
        (
            {"ab": 1, "b": "x"},
            {"patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": {"type": "string"}},
        ),
        ({"a": 1}, {"propertyNames": {"maxLength": 1}, "minProperties": 1, "maxProperties": 1}),
        ("abc", {"$ref": "#/$defs/word", "maxLength": 3}),
        ({"kids": [{"kids": []}, {}]}, {"$ref": "#/$defs/tree"}),
        ("abc", {"allOf": [{"$ref": "#/$defs/word"}, {"type": "string"}], "not": {"const": "no"}}),
        (3, {"oneOf": [{"type": "integer"}, {"type": "string"}]}),
        (None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    ],
)
def test_what_fits_comes_back_as_it_is(value: object, schema: object) -> None:
    assert FITTER.fit(value, schema) == value


@pytest.mark.parametrize(
    ("value", "schema", "says"),
    [
        (1, False, "nothing may stand here"),
        ("a", {"type": "integer"}, '"a" is a text, and must be a whole number'),
        (1.5, {"type": ["integer", "null"]}, "1.5 is a number, and must be a whole number or null"),
        (True, {"type": "integer"}, "true is true or false, and must be a whole number"),
        (True, {"const": 1}, "true is none of [1]"),
        ("x" * 100, {"enum": ["a"]}, f'"{"x" * 79}… is none of ["a"]'),
        ("a", {"minLength": 2}, "it has 1 characters, and must have at least 2"),
        ("abc", {"maxLength": 2}, "it has 3 characters, and may have at most 2"),
        ("a", {"pattern": "^b"}, '"a" does not match "^b"'),
        (0, {"minimum": 1}, "0 must be at least 1"),
        (2, {"exclusiveMaximum": 2}, "2 must be less than 2"),
        (0.35, {"multipleOf": 0.1}, "0.35 must be a multiple of 0.1"),
        ([1, 1.0], {"uniqueItems": True}, "an item stands there twice"),
        ([1, "a"], {"prefixItems": [{}], "items": False}, "[1]: nothing may stand here"),
        (
            {"a": {"b": [{"c": 1}]}},
            {"properties": {"a": {"properties": {"b": {"items": {"required": ["d"]}}}}}},
            "a.b[0].d: is missing",
        ),
        ({"b": 1}, {"additionalProperties": False}, "b: there is no such field"),
        ({"b": 1}, {"additionalProperties": {"type": "null"}}, "b: 1 is a whole number, and must be null"),
        (
            {"ab": "x"},
            {"patternProperties": {"^a": {"type": "integer"}}},
            'ab: "x" is a text, and must be a whole number',
        ),
        ({"ab": 1}, {"propertyNames": {"maxLength": 1}}, 'no field may be called "ab"'),
        ({}, {"minProperties": 1}, "it has 0 fields, and must have at least 1"),
        ("a", {"$ref": "#/$defs/word"}, "it has 1 characters, and must have at least 2"),
        ("a", {"anyOf": [{"type": "integer"}, {"type": "null"}]}, '"a" is a text, and must be a whole number'),
        (
            1.5,
            {"anyOf": [{"const": 1}, False]},
            "it fits none of the 2 forms that it may have: 1.5 is none of [1] or nothing may stand here",
        ),
        (
            1,
            {"oneOf": [{"type": "integer"}, {"type": "number"}]},
            "1 fits 2 of the forms that it may have, and must fit one",
        ),
        ("no", {"not": {"const": "no"}}, '"no" is what it must not be'),
        (
            {"kids": [{"kids": [5]}]},
            {"$ref": "#/$defs/tree"},
            "kids[0].kids[0]: 5 is a whole number, and must be an object",
        ),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(value: object, schema: object, says: str) -> None:
    with pytest.raises(Misfit) as caught:
        FITTER.fit(value, schema)
    assert str(caught.value) == says


def test_a_whole_number_that_was_written_with_a_point_is_one() -> None:
    for schema in ({"type": "integer"}, {"allOf": [{"type": "integer"}, {}]}, {"anyOf": [{"type": "integer"}]}):
        fitted = FITTER.fit(3.0, schema)
        assert (fitted, type(fitted)) == (3, int)
    assert isinstance(FITTER.fit(3.0, {"type": "number"}), float)


OPTIONAL = {
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "default": 3},
        "tags": {"type": "array", "default": []},
        "nick": {"type": ["string", "null"]},
        "free": True,
    },
    "required": ["name"],
}


def test_a_null_for_a_field_that_may_be_left_out_stands_for_its_absence_where_it_may() -> None:
    said = {"nick": None, "age": None, "tags": None, "name": "a"}
    assert WITH_NULLS.fit(said, OPTIONAL) == {"name": "a", "age": 3, "tags": [], "nick": None}
    assert Fitter(defs={}, fills=False, nulls=True).fit(said, OPTIONAL) == {"name": "a", "nick": None}
    with pytest.raises(Misfit, match="name: null is null, and must be a text"):
        WITH_NULLS.fit({"name": None}, OPTIONAL)
    with pytest.raises(Misfit, match="age: null is null, and must be a whole number"):
        FITTER.fit(said, OPTIONAL)


def test_every_null_that_may_be_left_out_stands_for_absence_as_a_last_resort() -> None:
    closed: Node = {"properties": {"a": {"type": "integer"}}, "additionalProperties": False}
    loosely = Fitter(defs={}, fills=False, nulls=True, all_nulls=True)
    assert loosely.fit({"a": 1, "b": None}, closed) == {"a": 1}
    assert loosely.fit({"b": None}, {}) == {"b": None}
    assert loosely.fit({"nick": None, "name": "a"}, OPTIONAL) == {"name": "a"}
    for node in (
        {**closed, "required": ["b"]},
        {**closed, "patternProperties": {"^b": {"type": "string"}}},
        {"additionalProperties": {"type": "string"}},
    ):
        with pytest.raises(Misfit, match=r"^b: "):
            loosely.fit({"b": None}, node)
    with pytest.raises(Misfit, match="b: there is no such field"):
        WITH_NULLS.fit({"a": 1, "b": None}, closed)


def test_of_forms_that_exclude_each_other_one_must_fit_without_its_nulls() -> None:
    def of(a: object, **more: object) -> Node:
        return {"properties": {"a": a, "b": {"type": "integer"}}, **more}

    one_of: Node = {"oneOf": [of({"type": "integer"}), of({"type": "null"}, required=["a"])]}
    assert WITH_NULLS.fit({"a": None, "b": None}, one_of) == {}
    with pytest.raises(Misfit, match="fits 2 of the forms"):
        WITH_NULLS.fit({"a": None}, {"oneOf": [of({"type": "integer"}), of({"type": "string"})]})


def test_a_null_that_stands_for_absence_does_not_count_as_a_field() -> None:
    node: Node = {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "maxProperties": 1}
    assert WITH_NULLS.fit({"a": 1, "b": None}, node) == {"a": 1}
    with pytest.raises(Misfit, match="it has 0 fields, and must have at least 1"):
        WITH_NULLS.fit({"a": None, "b": None}, {**node, "minProperties": 1})


def test_fields_come_in_the_order_of_the_schema_with_others_behind() -> None:
    assert [*FITTER.fit({"z": 1, "nick": "x", "name": "a"}, OPTIONAL)] == ["name", "age", "tags", "nick", "z"]  # type: ignore[misc]


def test_a_default_that_was_filled_in_is_nobody_elses() -> None:
    first = FITTER.fit({"name": "a"}, OPTIONAL)
    first["tags"].append(1)  # type: ignore[index]
    assert FITTER.fit({"name": "a"}, OPTIONAL)["tags"] == []  # type: ignore[index]


def test_the_defaults_of_schemas_that_hold_together_are_all_filled_in() -> None:
    one = {
        "properties": {
            "a": {"default": 1},
            "gone": {"type": "string"},
            "l": {"items": {"properties": {"x": {"default": 1}}}},
        }
    }
    other = {"properties": {"b": {"default": 2}, "l": {"items": {"properties": {"y": {"default": 2}}}}}}
    value: object = {"gone": None, "l": [{}]}
    number = {"properties": {"a": {"type": "integer", "default": 1}}}
    assert WITH_NULLS.fit({"a": None}, {"allOf": [number, {}]}) == {"a": 1}
    assert WITH_NULLS.fit(value, {"allOf": [one, other]}) == {"a": 1, "b": 2, "l": [{"x": 1, "y": 2}]}
