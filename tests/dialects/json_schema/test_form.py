"""How models are asked for an answer that fits a schema, and which are not."""

import json

import pytest

from tidyllm.core.errors import SettingError
from tidyllm.core.message import Conversation, UserTurn
from tidyllm.core.params import Params
from tidyllm.core.schema import Schema
from tidyllm.dialects.json_schema.form import SchemaForm, form_for
from tidyllm.dialects.json_schema.takes import ANY, GROQ

YES = Schema(name="yes", definition={"type": "boolean"})
TOP = {
    "type": "object",
    "properties": {"value": {"type": "boolean"}},
    "required": ["value"],
    "additionalProperties": False,
}
FORMS = (
    SchemaForm(takes=ANY, streams=False),
    SchemaForm(models=("new-*",), takes=GROQ, strict=True),
    SchemaForm(models=("new-none",), takes=GROQ, refusal="new-one does."),
)


def test_the_last_form_that_holds_for_a_model_counts() -> None:
    assert form_for(FORMS, model="old", params=Params(), streamed=False) is FORMS[0]
    assert form_for(FORMS, model="new-one", params=Params(), streamed=True) is FORMS[1]
    assert form_for(FORMS, model="mine", params=Params(model_family="new-one"), streamed=True) is FORMS[1]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("old", "old does not stream an answer to schema=. The verb chat has it whole."),
        ("new-none", "new-none takes no schema=. new-one does."),
    ],
)
def test_a_model_that_has_it_not_is_an_error_that_names_the_nearest(model: str, says: str) -> None:
    with pytest.raises(SettingError) as caught:
        form_for(FORMS, model=model, params=Params(), streamed=True)
    assert str(caught.value) == says


def test_where_no_form_is_declared_it_is_an_error() -> None:
    with pytest.raises(SettingError, match=r"m takes no schema=\. Ask in the prompt for JSON"):
        form_for((), model="m", params=Params(), streamed=False)


def test_a_form_is_said_flat_or_nested_and_as_strict_as_it_is() -> None:
    assert FORMS[0].flat(YES) == {"type": "json_schema", "name": "yes", "schema": TOP}
    named = {"name": "yes", "schema": TOP, "strict": True}
    assert FORMS[1].nested(YES) == {"type": "json_schema", "json_schema": named}
    assert SchemaForm(takes=ANY, json_mode=True).nested(YES) == {"type": "json_object"}


def test_a_schema_is_worked_out_once_for_each_dialect() -> None:
    assert FORMS[0].definition(YES) is FORMS[0].definition(YES)
    assert FORMS[0].definition(YES) is not FORMS[1].definition(YES)


def test_the_schema_stands_in_the_system_prompt_where_that_is_the_way() -> None:
    talk = Conversation(turns=(UserTurn("Is it?"),))
    assert FORMS[0].asking(talk, YES) is talk
    form = SchemaForm(takes=ANY, told=True)
    rule = f"Answer with JSON alone, which fits this JSON Schema:\n{json.dumps(TOP, separators=(',', ':'))}"
    assert form.asking(talk, YES) == Conversation(system=rule, turns=talk.turns)
    brief = Conversation(system="Be brief.", turns=talk.turns)
    assert form.asking(brief, YES).system == f"Be brief.\n\n{rule}"
