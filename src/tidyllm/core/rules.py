"""How the one vocabulary of parameters is said to a model, or why it cannot be: data, and one function that reads it.

A rule stands for one parameter of `Params`. A dialect has the rules that hold for its API; a provider's declaration
adds what differs there and what differs by family of models. A parameter without a rule cannot be asked for.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TypeAlias

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.params import Params

Fields: TypeAlias = Mapping[str, object]
"""Fields of a request's body; dots lead into objects, `generationConfig.topK`."""

_PUT_TOGETHER = frozenset({"include"})
"""Lists that several sides may add to."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """How one parameter is said."""

    field: str | None = None
    """Which field its value goes into."""
    low: float | None = None
    high: float | None = None
    texts_max: int | None = None
    """At most so many texts, for `stop`."""
    words: Mapping[str | bool, Fields] | None = None
    """In place of `field`: what each value sets. Other values are refused."""
    hint: str = ""
    """Of `words`: what is nearest to a value that is refused; a sentence."""
    also: Fields = {}
    """What is said besides, whatever the value."""
    refusal: str | None = None
    """Why it cannot be asked for, and what is nearest to it; a sentence or two."""


Rules: TypeAlias = Mapping[str, Rule]

_FOR_EMBEDDINGS: Rules = {"dimensions": Rule(refusal="It is for the verb embed.")}
"""What holds unless a dialect's own rules say otherwise."""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """Models that differ from the others of their provider."""

    models: tuple[str, ...]
    """Patterns of their names, as of files: `gpt-6*`."""
    rules: Rules = {}
    unless_effort: str | None = None
    """With this effort they do not differ."""
    sends: Fields = {}
    """What is said of itself; a user's `extra=` may say otherwise."""

    def holds(self, model: str, params: Params) -> bool:
        """Return whether the model is one of them."""
        if self.unless_effort is not None and params.effort == self.unless_effort:
            return False
        return any(fnmatchcase(params.model_family or model, pattern) for pattern in self.models)


def refused(*names: str, why: str) -> dict[str, Rule]:
    """Return rules that refuse these parameters."""
    return {name: Rule(refusal=why) for name in names}


def words(field: str, *values: str) -> Rule:
    """Return the rule of a parameter that has these values alone, said as they are."""
    return Rule(words={value: {field: value} for value in values})


def request_body(
    fixed: Mapping[str, object], params: Params, *, model: str, rules: Rules, families: tuple[Family, ...] = ()
) -> dict[str, object]:
    """Return a request's body: `fixed`, the parameters as the model is told them, and the user's extra fields.

    Raises SettingError for a parameter that the model does not take, or not so, and for an extra field that repeats
    what the request says already.
    """
    body: dict[str, object] = {}
    for family in families:
        if family.holds(model, params):
            rules = {**rules, **family.rules}
            _merge(body, _nested(family.sends))
    if params.thoughts and params.effort == "none":
        raise SettingError('thoughts=True asks for thoughts, and effort="none" for none: leave one of them out.')
    said = dict(fixed)
    for name, value in params.given:
        rule = rules.get(name, _FOR_EMBEDDINGS.get(name))
        for fields in _said(name, value, rule=rule, model=model, known=rules):
            _merge(said, _nested(fields))
    if body:
        _merge(body, said)
    else:
        body = said
    if params.extra:
        _check_extra(params.extra, said)
        _merge(body, params.extra)
    return body


def _said(name: str, value: object, *, rule: Rule | None, model: str, known: Rules) -> Iterator[Fields]:
    """Yield what one parameter says."""
    if rule is None or rule.refusal is not None:
        taken = ", ".join(sorted(other for other, its in known.items() if its.refusal is None))
        why = f"It takes: {taken}." if rule is None else rule.refusal
        raise SettingError(f"{model} takes no {name}=. {why}")
    yield rule.also
    if rule.words is not None:
        if value not in rule.words:
            taken = ", ".join(repr(word) for word in rule.words)
            raise SettingError(f"{model} takes no {name}={value!r}. It takes: {taken}. {rule.hint}".rstrip())
        yield rule.words[value]  # type: ignore[index]  # it is one of them
        return
    if isinstance(value, float | int) and not isinstance(value, bool):
        _check_bounds(name, value, rule=rule, model=model)
    if rule.texts_max is not None and isinstance(value, tuple) and len(value) > rule.texts_max:
        raise SettingError(f"{model} takes at most {rule.texts_max} texts as {name}=, not {len(value)}.")
    yield {} if rule.field is None else {rule.field: value}


def _check_bounds(name: str, value: float, *, rule: Rule, model: str) -> None:
    if rule.low is not None and not value >= rule.low:
        raise SettingError(f"{model} takes {name}= from {rule.low:g}, not {value:g}.")
    if rule.high is not None and not value <= rule.high:
        raise SettingError(f"{model} takes {name}= up to {rule.high:g}, not {value:g}.")


def _check_extra(extra: Mapping[str, object], said: Mapping[str, object]) -> None:
    if twice := sorted(_overlap(extra, said)):
        raise SettingError(f"extra= repeats what the request already says: {', '.join(twice)}.")
    if extra.get("n", 1) != 1:
        raise SettingError("extra= asks for several answers to one request (n), but one is kept: ask again instead.")
    if extra.get("stream"):
        raise SettingError("extra= asks for the answer in pieces (stream): use the verb stream for that.")


def _overlap(extra: Mapping[str, object], said: Mapping[str, object], *, path: str = "") -> Iterator[str]:
    """Yield what both say; two objects may say different things."""
    for name in extra.keys() & said.keys():
        one, other = extra[name], said[name]
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _overlap(one, other, path=f"{path}{name}.")
        elif name not in _PUT_TOGETHER:
            yield path + name


def _merge(body: dict[str, object], more: Mapping[str, object]) -> None:
    """Add fields to a body: objects go into each other, and of two values the later one counts."""
    for name, value in more.items():
        there = body.get(name)
        if isinstance(there, dict) and isinstance(value, Mapping):
            inner = dict(there)
            _merge(inner, value)
            body[name] = inner
        elif name in _PUT_TOGETHER and isinstance(there, list) and isinstance(value, list):
            body[name] = [*there, *(item for item in value if item not in there)]
        else:
            body[name] = value


def _nested(fields: Fields) -> dict[str, object]:
    """Return fields with their dots made into objects."""
    nested: dict[str, object] = {}
    for path, value in fields.items():
        *outer, name = path.split(".")
        inner: dict[str, object] = {name: value}
        for step in reversed(outer):
            inner = {step: inner}
        _merge(nested, inner)
    return nested
