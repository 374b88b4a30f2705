"""Parameters as data."""

import pytest

from tidyllm.core.errors import SettingError
from tidyllm.core.params import Params
from tidyllm.core.rules import Family, Rule, Rules, refused, request_body, words

RULES: Rules = {
    "temperature": Rule(field="temperature", low=0, high=2),
    "top_k": Rule(field="deep.er.k", also={"deep.on": True}),
    "stop": Rule(field="stop", texts_max=2),
    "effort": words("effort", "low", "high"),
    "thoughts": Rule(words={True: {"include": ["thoughts"]}}, hint="They are told."),
    **refused("seed", why="temperature=0 is nearest."),
}
FIXED = {"model": "m", "messages": []}


def body(params: Params, *families: Family) -> dict[str, object]:
    whole = request_body(FIXED, params, model="m", rules=RULES, families=families)
    return {name: value for name, value in whole.items() if name not in FIXED}


def test_each_parameter_goes_into_its_field() -> None:
    assert body(Params(temperature=0.0, top_k=3, stop=("a",), effort="low")) == {
        "temperature": 0.0,
        "deep": {"er": {"k": 3}, "on": True},
        "stop": ("a",),
        "effort": "low",
    }


@pytest.mark.parametrize(
    ("params", "told"),
    [
        (Params(temperature=2.5), "m takes temperature= up to 2, not 2.5."),
        (Params(temperature=-1), "m takes temperature= from 0, not -1."),
        (Params(temperature=float("nan")), "m takes temperature= from 0, not nan."),
        (Params(stop=("a", "b", "c")), "m takes at most 2 texts as stop=, not 3."),
        (Params(effort="max"), "m takes no effort='max'. It takes: 'low', 'high'."),
        (Params(thoughts=False), "m takes no thoughts=False. It takes: True. They are told."),
        (Params(seed=1), "m takes no seed=. temperature=0 is nearest."),
        (Params(top_p=1), "m takes no top_p=. It takes: effort, stop, temperature, thoughts, top_k."),
        (
            Params(thoughts=True, effort="none"),
            'thoughts=True asks for thoughts, and effort="none" for none: leave one of them out.',
        ),
        (Params(dimensions=3), "m takes no dimensions=. It is for the verb embed."),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_the_nearest_thing(params: Params, told: str) -> None:
    with pytest.raises(SettingError) as caught:
        body(params)
    assert str(caught.value) == told


def test_a_family_changes_rules_and_says_things_of_itself() -> None:
    family = Family(models=("m*",), rules=refused("stop", why="No."), sends={"limit": 5, "deep.on": False})
    assert body(Params(top_k=1), family) == {"limit": 5, "deep": {"on": True, "er": {"k": 1}}}
    assert body(Params(extra={"limit": 7}), family) == {"limit": 7, "deep": {"on": False}}
    with pytest.raises(SettingError, match="No"):
        body(Params(stop=("a",)), family)


def test_a_family_is_known_by_its_names_or_by_what_the_user_says() -> None:
    other = Family(models=("gpt-*",), sends={"a": 1})
    assert body(Params(), other) == {}
    assert body(Params(model_family="gpt-6"), other) == {"a": 1}


def test_a_family_may_depend_on_the_effort() -> None:
    family = Family(models=("*",), rules=refused("temperature", why="It thinks."), unless_effort="low")
    assert body(Params(temperature=1, effort="low"), family) == {"temperature": 1, "effort": "low"}
    with pytest.raises(SettingError, match="It thinks"):
        body(Params(temperature=1), family)


def test_extra_fields_are_added_and_may_go_deep() -> None:
    assert body(Params(top_k=1, extra={"deep": {"new": 2}, "x": [1]})) == {
        "deep": {"er": {"k": 1}, "on": True, "new": 2},
        "x": [1],
    }


def test_lists_that_several_may_add_to_are_put_together() -> None:
    family = Family(models=("*",), sends={"include": ["signed"]})
    assert body(Params(thoughts=True, extra={"include": ["more", "signed"]}), family) == {
        "include": ["signed", "thoughts", "more"]
    }


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({"model": "x", "temperature": 1}, "repeats what the request already says: model, temperature."),
        ({"deep": {"er": {"k": 2}}}, r"repeats .* deep\.er\.k"),
        ({"n": 2}, "several answers"),
        ({"stream": True}, "in pieces"),
    ],
)
def test_extra_fields_never_replace_what_the_request_says(extra: dict[str, object], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        body(Params(temperature=0.0, top_k=1, extra=extra))
