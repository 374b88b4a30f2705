"""Schemas of classes, types, JSON Schemas and the R package's fields."""

import dataclasses
import datetime as dt
import enum
import subprocess
import sys
import typing
from typing import Annotated, Literal, TypedDict

import annotated_types
import msgspec
import pydantic
import pytest

from tidyllm.client.schemas import (
    field_chr,
    field_dbl,
    field_fct,
    field_int,
    field_lgl,
    field_object,
    schema_of,
    tidyllm_schema,
)
from tidyllm.core.errors import InvalidAnswerError, SettingError
from tidyllm.core.schema import Schema


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Review(pydantic.BaseModel):
    """A review."""

    stars: int = pydantic.Field(ge=1, le=5, description="How many.")
    mood: Mood = Mood.GOOD
    on: dt.date | None = None
    replies: "list[Review]" = []

    @pydantic.field_validator("stars")
    @classmethod
    def no_three(cls, stars: int) -> int:
        if stars == 3:
            raise ValueError("three says\nnothing")
        return stars


@dataclasses.dataclass
class Person:
    name: str
    born: dt.date | None = None
    tags: list[str] = dataclasses.field(default_factory=lambda: ["none"])


ZUSE = Person("Z", dt.date(1910, 6, 22))


class Place(TypedDict, total=False):
    city: str


class Event(msgspec.Struct):
    where: Place
    seats: Annotated[int, msgspec.Meta(ge=1)]
    tree: "Event | None" = None


@dataclasses.dataclass
class Mixed:
    review: Review
    count: Annotated[int, annotated_types.Gt(0)]


@pytest.mark.parametrize(
    ("given", "text", "instance", "plain"),
    [
        (Review, '{"stars": 4}', Review(stars=4), {"stars": 4, "mood": "good", "on": None, "replies": []}),
        (Person, '{"name": "Z", "born": "1910-06-22"}', ZUSE, {"name": "Z", "born": "1910-06-22"}),
        (Place, '{"city": null}', {}, {}),
        (Event, '{"where": {}, "seats": 2}', Event({}, 2), {"where": {}, "seats": 2, "tree": None}),
        (
            Mixed,
            '{"review": {"stars": 1}, "count": 1}',
            Mixed(Review(stars=1), 1),
            {"review": {"stars": 1, "mood": "good", "on": None, "replies": []}, "count": 1},
        ),
        (Mood, '{"value": "bad"}', Mood.BAD, "bad"),
        (list[Review], "[]", [], []),
        (bool, '{"value": true}', True, True),
        (int, '{"value": 3.0}', 3, 3),
        (float, '{"value": 3}', 3.0, 3),
        (list[str], '{"value": ["a"]}', ["a"], ["a"]),
        (str | None, '{"value": null}', None, None),
        (set[int], '{"value": [1]}', {1}, [1]),
        (tuple[int, str], '{"value": [1, "a"]}', (1, "a"), [1, "a"]),
        (Annotated[int, annotated_types.Gt(0)], '{"value": 1}', 1, 1),
        (dict[str, int], '{"value": {"a": 1}}', {"a": 1}, {"a": 1}),
        (Literal["a", "b"], '{"value": "b"}', "b", "b"),
        (typing.Any, '{"value": {"a": 1}}', {"a": 1}, {"a": 1}),
    ],
)
def test_an_answer_is_an_instance_of_what_was_given_or_plain_data(
    given: object, text: str, instance: object, plain: object
) -> None:
    schema = schema_of(given)
    assert schema.read_as(text) == instance
    assert type(schema.read_as(text)) is type(instance)
    assert schema.read(text) == plain
    assert msgspec.json.decode(msgspec.json.encode(schema), type=Schema).read_as(text) == plain


def test_classes_give_their_names() -> None:
    names = [schema_of(given).name for given in (Review, Person, Place, Event, Mood, bool, list[Review], str | None)]
    assert names == ["Review", "Person", "Place", "Event", "Mood", "answer", "answer", "answer"]


@pytest.mark.parametrize(
    ("given", "text", "says"),
    [
        (Review, '{"stars": 3}', "stars: Value error, three says nothing"),
        (Review, '{"stars": 6}', "stars: 6 must be at most 5"),
        (Person, '{"name": "Z", "born": "1910"}', "Invalid RFC3339 encoded date - at `$.born`"),
        (Mixed, '{"review": {"stars": 3}, "count": 1}', "review.stars: Value error"),
        (Mixed, '{"review": {"stars": 2}, "count": 0}', "count: 0 must be more than 0"),
        (Literal["a"], '{"value": "b"}', '"b" is none of ["a"]'),
    ],
)
def test_what_the_class_refuses_is_invalid(given: object, text: str, says: str) -> None:
    with pytest.raises(InvalidAnswerError) as caught:
        schema_of(given).read(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_json_schema_is_taken_as_it_is() -> None:
    given = {"title": "A review!", "type": "object", "properties": {"stars": {"type": "integer"}}}
    schema = schema_of(given)
    assert (schema.name, schema.definition) == ("A_review", given)
    assert schema_of(schema) is schema
    assert schema_of({"type": "string"}).name == "answer"


class Unknown:
    pass


class Callback(pydantic.BaseModel):
    call: typing.Callable[[], int]


class Broken:
    it: "Nowhere"  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"good", "bad"}, 'schema= is a set. For one of several texts: Literal["good", "bad"].'),
        (["good"], "schema= is a list"),
        ({"stars": "integer"}, "a mapping, but no JSON Schema"),
        ({1: 2}, "a mapping, but no JSON Schema"),
        ({"type": "text"}, "'type' that cannot be"),
        (field_chr(), "a single field: put it into a schema"),
        (Review(stars=1), "schema= is one Review: give the class itself"),
        (Person("Z"), "schema= is one Person: give the class itself"),
        (Event({}, 1), "schema= is one Event: give the class itself"),
        (Unknown, "and Unknown is none"),
        (Unknown(), "is none"),
        (Broken, "Broken is none"),
        ("Review", "and 'Review' is none"),
        (Callback, "Callback has no JSON Schema, says pydantic"),
    ],
)
def test_what_has_no_json_form_is_refused_with_what_to_do(given: object, says: str) -> None:
    with pytest.raises(SettingError) as caught:
        schema_of(given)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fields_are_said_as_in_the_r_package() -> None:
    schema = tidyllm_schema(
        "A person",
        full_name=field_chr("Full name"),
        height=field_dbl(),
        born=field_int(),
        alive=field_lgl(),
        moods=field_fct("How they feel", levels=["good", "bad"], vector=True),
        home=field_object("Where they live", city=field_chr()),
        pets=field_object(vector=True, name=field_chr()),
    )
    closed = {"additionalProperties": False}
    home = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], **closed}
    pet = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], **closed}
    assert schema.name == "A_person"
    assert schema.definition == {
        "type": "object",
        "properties": {
            "full_name": {"type": "string", "description": "Full name"},
            "height": {"type": "number"},
            "born": {"type": "integer"},
            "alive": {"type": "boolean"},
            "moods": {
                "type": "array",
                "description": "How they feel",
                "items": {"type": "string", "enum": ["good", "bad"]},
            },
            "home": {"description": "Where they live", **home},
            "pets": {"type": "array", "items": pet},
        },
        "required": ["full_name", "height", "born", "alive", "moods", "home", "pets"],
        **closed,
    }
    assert tidyllm_schema(x=field_chr()).name == "tidyllm_schema"


def test_wrong_fields_are_refused_with_what_to_do() -> None:
    with pytest.raises(SettingError, match=r"The field 'stars' must be made by field_chr\(\) or its kin, not int\."):
        tidyllm_schema("Review", stars=int)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="A schema needs fields"):
        tidyllm_schema("Review")
    for levels in ([], "good", [1]):
        with pytest.raises(SettingError, match="levels= must be the texts"):
            field_fct(levels=levels)  # type: ignore[arg-type]


def test_pydantic_is_not_loaded_for_who_does_not_use_it() -> None:
    code = (
        "import sys, dataclasses\nfrom tidyllm.client.schemas import schema_of\n"
        "@dataclasses.dataclass\nclass A:\n    x: int\n"
        "assert schema_of(A).read_as('{\"x\": 1}') == A(1)\nassert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
