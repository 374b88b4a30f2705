"""A provider is a declaration; called, it gives a model: the value that every verb takes."""

import difflib
import importlib
import os
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TypedDict, Unpack

import msgspec

from tidyllm.core.auth import Auth, Key
from tidyllm.core.errors import SettingError
from tidyllm.core.limits import BatchLimits
from tidyllm.core.params import Params
from tidyllm.core.url import checked_base_url
from tidyllm.dialect import BatchDialect, ChatDialect, FilesDialect, Site

_DECLARATIONS = "tidyllm.providers"


class Options(TypedDict, total=False):
    """What a model may be made with; the same names for every provider."""

    temperature: float | None
    """0 for the likeliest words; the upper bound is the provider's."""
    max_tokens: int | None
    """Longest answer, in tokens, reasoning included."""
    top_p: float | None
    """Only the likeliest tokens that together have this probability."""
    seed: int | None
    """For answers that repeat, as far as the provider can."""
    stop: str | Sequence[str] | None
    """Text, or texts, at which the answer ends."""
    extra: Mapping[str, object] | None
    """The provider's own fields, passed through as they are."""
    base_url: str | None
    """Another address of the same API, with its `/v1`."""
    headers: Mapping[str, str] | None
    """Sent with every request; their values are never shown."""
    api_key: Key | None
    """The key, or a function that returns a fresh one; without it the environment is asked."""


class Secret:
    """A text or function that no `repr` and no encoder can show."""

    __slots__ = ("value",)

    def __init__(self, value: Key) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "'…'"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers, where, and which key opens the door; what it can do is which dialects it names."""

    name: str
    docs: str
    """Where its documentation is."""
    base_url: str
    base_url_env: str | None = None
    """Name of an environment variable that moves it elsewhere."""
    auth: Auth
    chat_model: str | None = None
    """The model that is meant when none is named."""
    checked: date | None = None
    """When somebody last saw that `chat_model` is offered."""
    chat: ChatDialect | None = None
    files: FilesDialect | None = None
    batch: BatchDialect | None = None
    batch_limits: BatchLimits | None = None

    def __call__(self, model: str | None = None, **options: Unpack[Options]) -> "Model":
        """Return a model of this provider: `openai("gpt-6-luna", temperature=0)`.

        Raises SettingError for an option that there is not, and for one whose value no request can hold.
        """
        if unknown := sorted(options.keys() - Options.__annotations__.keys()):
            hint = _nearest(unknown[0], [*Options.__annotations__])
            raise SettingError(f"{self.name}() has no option {unknown[0]!r}.{hint}")
        stop = options.get("stop")
        params = Params(
            temperature=_as_float(options.get("temperature")),
            max_tokens=options.get("max_tokens"),
            top_p=_as_float(options.get("top_p")),
            seed=options.get("seed"),
            stop=(stop,) if isinstance(stop, str) else None if stop is None else tuple(stop),
            extra=_checked_extra(options.get("extra") or {}),
        )
        key = options.get("api_key")
        return Model(
            provider=self,
            name=model or self.chat_model,
            params=params,
            base_url=checked_base_url(options.get("base_url") or self._base_url()),
            headers=tuple((name, Secret(value)) for name, value in (options.get("headers") or {}).items()),
            key=None if key is None else Secret(key),
        )

    def _base_url(self) -> str:
        return (os.environ.get(self.base_url_env) if self.base_url_env else None) or self.base_url


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model of a provider, with how it is to answer; its key is never shown."""

    provider: Provider
    name: str | None
    """Null where the provider has no default and only needs none, as for a list of batches."""
    params: Params
    base_url: str
    """Without a slash at its end."""
    headers: tuple[tuple[str, Secret], ...] = ()
    key: Secret | None = None

    @property
    def site(self) -> Site:
        """Return where its requests go; it holds the values of `headers`, so it is not for showing."""
        headers = tuple((name, str(secret.value)) for name, secret in self.headers)
        return Site(provider=self.provider.name, base_url=self.base_url, auth=self.provider.auth, headers=headers)

    def __repr__(self) -> str:
        given = [] if self.name is None else [repr(self.name)]
        options = [f"{name}={value!r}" for name, value in self._options()]
        return f"{self.provider.name}({', '.join(given + options)})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("name", self.name), *self._options()]

    def _options(self) -> Iterator[tuple[str, object]]:
        """Yield what was set, as it may be shown."""
        for name, value in msgspec.structs.asdict(self.params).items():
            if value not in (None, {}):
                yield name, value
        if self.base_url != self.provider.base_url:
            yield "base_url", self.base_url
        if self.headers:
            yield "headers", dict(self.headers)
        if self.key is not None:
            yield "api_key", self.key


def find_provider(name: str) -> Provider:
    """Return the provider of that name. Raises SettingError naming the nearest one."""
    known = [module.name for module in pkgutil.iter_modules(importlib.import_module(_DECLARATIONS).__path__)]
    if name not in known:
        raise SettingError(f"There is no provider {name!r}.{_nearest(name, known)}")
    found = getattr(importlib.import_module(f"{_DECLARATIONS}.{name}"), name)
    assert isinstance(found, Provider)  # noqa: S101 - the conformance of a declaration, which a test checks for all
    return found


def resolve_model(given: Model | str) -> Model:
    """Return the model that is meant: one is itself, `"openai/gpt-6-luna"` and `"openai"` are looked up.

    Raises SettingError for a provider that there is not.
    """
    if isinstance(given, Model):
        return given
    if isinstance(given, Provider):
        raise SettingError(f"Call the provider to get a model of it: {given.name}().")
    provider, _, name = given.partition("/")
    return find_provider(provider)(name or None)


def _nearest(word: str, known: Sequence[str]) -> str:
    """Return a hint, with a space before it: the nearest of the known words, or all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else f" There is: {', '.join(sorted(known))}."


def _as_float(value: float | None) -> float | None:
    """Return 0 as 0.0: the two ask for the same, and a job is known by what it asks."""
    return None if value is None else float(value)


def _checked_extra(extra: Mapping[str, object]) -> dict[str, object]:
    for name, value in extra.items():
        try:
            msgspec.json.encode({name: value})
        except (TypeError, UnicodeEncodeError, RecursionError) as fault:
            raise SettingError(f"extra= holds a field {name!r} that cannot be written as JSON: {fault}.") from fault
    return dict(extra)
