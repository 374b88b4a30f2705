"""Random schemas in every dialect: each obeys what its API states, and still takes the same values."""

import json
from collections.abc import Iterator, Mapping

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.dialects.json_schema.drawn import DEFS, schemas, values, without_nulls
from tidyllm.core.errors import SettingError
from tidyllm.core.schema import Schema
from tidyllm.core.schema_check import self_contained
from tidyllm.core.schema_fit import Fitter
from tidyllm.core.schema_nodes import Node, cyclic_names, parts, types_of
from tidyllm.dialects.json_schema.say import said
from tidyllm.dialects.json_schema.takes import (
    ANTHROPIC,
    ANY,
    AZURE,
    EVERYTHING,
    GEMINI,
    GRAMMAR,
    GROQ,
    OPENAI,
    ROUTED,
    VLLM,
    Takes,
)

ALWAYS = {
    *("type", "description", "title", "enum", "anyOf", "$ref", "$defs"),
    *("properties", "required", "items", "additionalProperties"),
}
NUMBERS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
TEXTS = {"minLength", "maxLength"}
SIZES = {"minItems", "maxItems"}
COUNTS = {"minProperties", "maxProperties"}


class States(msgspec.Struct, frozen=True, kw_only=True):
    """What an API's documentation states, written down a second time, from the specification."""

    keywords: set[str]
    formats: set[str] | None = None
    enums: set[str] | None = None
    strict: bool = False
    all_required: bool = False
    min_items: int = 10
    recursive: bool = True
    recursive_required: bool = True


OPENAI_FORMATS = {*("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")}
SCALAR = {"string", "integer", "number", "boolean", "null"}
ALL = (
    NUMBERS
    | TEXTS
    | SIZES
    | COUNTS
    | {"const", "pattern", "format", "multipleOf", "uniqueItems", "prefixItems", "default"}
)
STRICT = States(keywords=set(), formats=set(), strict=True, all_required=True, enums=SCALAR)
OF_OPENAI = NUMBERS | SIZES | {"const", "pattern", "format", "multipleOf"}
STATED: Mapping[str, tuple[Takes, States]] = {
    "openai": (OPENAI, msgspec.structs.replace(STRICT, keywords=OF_OPENAI, formats=OPENAI_FORMATS)),
    "azure": (AZURE, msgspec.structs.replace(STRICT, keywords={"const"})),
    "routed": (ROUTED, STRICT),
    "groq": (GROQ, STRICT),
    "anthropic": (
        ANTHROPIC,
        States(
            keywords={"const", "default", "pattern", "format", "minItems"},
            formats=OPENAI_FORMATS | {"uri"},
            enums=SCALAR,
            strict=True,
            min_items=1,
            recursive=False,
        ),
    ),
    "gemini": (
        GEMINI,
        States(
            keywords=SIZES | {"minimum", "maximum", "format", "prefixItems"},
            formats={"date-time", "date", "time"},
            enums={"string", "integer", "number"},
            recursive_required=False,
        ),
    ),
    "vllm": (VLLM, States(keywords=ALL - {"multipleOf", "uniqueItems"})),
    "grammar": (
        GRAMMAR,
        States(
            keywords=NUMBERS | TEXTS | SIZES | {"const", "format", "prefixItems"},
            formats={"date-time", "date", "time", "uuid"},
        ),
    ),
    "any": (ANY, States(keywords=ALL | {"patternProperties"})),
}


def nodes(node: object) -> Iterator[Node]:
    if isinstance(node, dict):
        yield node
        for _, part in parts(node):
            yield from nodes(part)


def check(told: Node, states: States) -> None:
    """Assert that a schema is as the API states."""
    assert told["type"] == "object"
    assert "anyOf" not in told
    defs = told.get("$defs", {})
    for node in (inner for root in (told, *defs.values()) for inner in nodes(root)):
        assert node.keys() <= ALWAYS | states.keywords
        if "$ref" in node:
            assert node.keys() == {"$ref"}
            assert node["$ref"].removeprefix("#/$defs/") in defs
        else:
            check_words(node, states)
            if states.strict:
                check_strict(node, states)
    assert states.recursive or not cyclic_names(defs)
    if not states.recursive_required:
        check_recursion(told, cyclic_names(defs))


def check_words(node: Node, states: States) -> None:
    assert states.formats is None or node.get("format") in {None, *states.formats}
    assert "(?!" not in node.get("pattern", "")
    assert node.get("minItems", 0) <= states.min_items
    if states.enums is not None and "enum" in node:
        assert set(types_of({"enum": node["enum"]})) <= states.enums


def check_strict(node: Node, states: States) -> None:
    assert "type" in node or "anyOf" in node
    if "object" in types_of(node):
        assert node["additionalProperties"] is False
        assert not states.all_required or node["required"] == [*node["properties"]]
    if "array" in types_of(node):
        assert node["items"]


def check_recursion(told: Node, cyclic: frozenset[str]) -> None:
    """Assert that no required field leads to a definition that contains itself."""
    for node in (inner for root in told.get("$defs", {}).values() for inner in nodes(root)):
        for name in node.get("required", ()):
            refs = [inner.get("$ref", "")[8:] for inner in nodes(node["properties"][name])]
            assert not cyclic.intersection(refs)


def named_all(value: object, node: Node, defs: Mapping[str, Node], *, last: bool) -> object:
    """Return a value as a model says it that must answer each field: with null for those that it leaves out.

    The schema is as it would be told were this not demanded. Of several forms that the value has, the first or the last
    is meant.
    """
    if "$ref" in node:
        return named_all(value, defs[node["$ref"].removeprefix("#/$defs/")], defs, last=last)
    for form in node.get("anyOf", ())[:: -1 if last else 1]:
        if Fitter(defs=defs, fills=False).fits(value, form):
            return named_all(value, form, defs, last=last)
    if isinstance(value, list):
        return [named_all(item, node["items"], defs, last=last) for item in value]
    if isinstance(value, dict):
        named = node["properties"]
        answered = {name: named_all(inner, named[name], defs, last=last) for name, inner in value.items()}
        return answered | {name: None for name in named if name not in value}
    return value


@pytest.mark.parametrize("name", STATED)
@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    max_examples=100,
)
@given(data=st.data())
def test_a_schema_obeys_the_dialect_and_takes_the_same_values(name: str, data: st.DataObject) -> None:
    takes, states = STATED[name]
    node = data.draw(schemas(maps=not states.strict, recursive=states.recursive))
    definition = {"anyOf": [True], "$defs": DEFS} if node is True else {**node, "$defs": DEFS}
    schema = Schema(name="x", definition=self_contained(definition))
    try:
        told = said(schema, takes)
    except SettingError as refusal:
        assert "takes schemas with up to" in str(refusal)  # noqa: PT017
        return
    check(told, states)
    value = data.draw(values(node))
    defs = told.get("$defs", {})
    answer: object = {"value": value} if schema.wrapped else value
    read = schema.read(json.dumps(answer))
    if states.all_required:
        keywords = takes.keywords | EVERYTHING - {"prefixItems"}
        loose = said(schema, msgspec.structs.replace(takes, all_required=False, keywords=keywords, formats=None))
        answer = named_all(answer, loose, loose.get("$defs", {}), last=data.draw(st.booleans()))
    assert Fitter(defs=defs, fills=False).fits(answer, told)
    assert without_nulls(schema.read(json.dumps(answer))) == without_nulls(read)


@pytest.mark.parametrize("name", [name for name, (_, states) in STATED.items() if states.strict])
@settings(deadline=None, max_examples=30)
@given(node=schemas(maps=True, recursive=True))
def test_what_cannot_be_told_is_an_error_and_nothing_else(name: str, node: Node) -> None:
    takes, states = STATED[name]
    whole = {"type": "object", "properties": {"f": node}, "required": ["f"], "$defs": DEFS}
    try:
        told = said(Schema(name="x", definition=self_contained(whole)), takes)
    except SettingError:
        return
    check(told, states)
