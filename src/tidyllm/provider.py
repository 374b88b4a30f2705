"""A provider is a declaration; called, it gives a model: the value that every verb takes."""

import difflib
import functools
import importlib
import math
import os
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from numbers import Integral, Real
from typing import TypedDict, Unpack

import msgspec

from tidyllm.core.auth import Auth, Hidden, Key
from tidyllm.core.errors import SettingError
from tidyllm.core.limits import BatchLimits
from tidyllm.core.params import Effort, Params
from tidyllm.core.text import sendable
from tidyllm.core.url import checked_base_url, host_url
from tidyllm.dialect import (
    BatchCancelDialect,
    BatchDeleteDialect,
    BatchDialect,
    ChatDialect,
    EmbedDialect,
    FilesDialect,
    ModelsDialect,
    Site,
)

_DECLARATIONS = "tidyllm.providers"
TIMEOUT_S_MAX = 30 * 86_400
_PARAMS = frozenset(Params.__struct_fields__)


class Options(TypedDict, total=False):
    """What a model may be made with; the same names for every provider."""

    temperature: float | None
    """0 for the likeliest words; the upper bound is the provider's."""
    max_tokens: int | None
    """Longest answer, in tokens, reasoning included."""
    top_p: float | None
    """Only the likeliest tokens that together have this probability."""
    top_k: int | None
    """Only so many of the likeliest tokens."""
    seed: int | None
    """For answers that repeat, as far as the provider can."""
    stop: str | Sequence[str] | None
    """Text, or texts, at which the answer ends."""
    frequency_penalty: float | None
    """Above 0 against words that were said often already."""
    presence_penalty: float | None
    """Above 0 against words that were said at all."""
    effort: Effort | None
    """How much the model thinks before it answers."""
    thoughts: bool | None
    """Whether the answer tells of the model's reasoning."""
    logprobs: bool | int | None
    """True to be told of each token how likely it was; a number for so many alternatives besides."""
    dimensions: int | None
    """Length of the vectors, where the model lets choose; for embeddings alone."""
    model_family: str | None
    """A model whose rules hold, where the name, as of a deployment, does not tell what it is."""
    extra: Mapping[str, object] | None
    """The provider's own fields, passed through as they are."""
    base_url: str | None
    """Another address of the same API, up to where the names of its endpoints begin: `http://127.0.0.1:8000/v1`."""
    headers: Mapping[str, str] | None
    """Sent with every request; their values are never shown."""
    api_key: Key | None
    """The key, or a function that returns a fresh one; without it the environment is asked."""
    timeout_s: float | None
    """For each answer, in seconds, 600 unless said otherwise; for a streamed one, for each silence."""
    api: str | None
    """Which of the provider's APIs for chat is spoken, where it has several: `chat_completions`, `responses`."""


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
    base_url: str | None = None
    """Null where everybody has an address of their own."""
    base_url_env: str | None = None
    """Name of an environment variable that moves it elsewhere."""
    base_url_end: str = ""
    """What is added to the address of the environment, which names the host alone: `/openai/v1`."""
    port: int | None = None
    """The port of an address of the environment that names none, nor `http://`."""
    auth: Auth
    chat_model: str | None = None
    """The model that is meant when none is named."""
    embed_model: str | None = None
    """The model for embeddings that is meant when none is named."""
    checked: date | None = None
    """When somebody last saw that these models are offered."""
    price_list: str | None = None
    """What genai-prices calls it: its list prices are those of its answers, where it does not tell them itself."""
    chat: ChatDialect | None = None
    chat_also: tuple[ChatDialect, ...] = ()
    """Other APIs that it has for chat, for who asks by `api=`."""
    embed: EmbedDialect | None = None
    models: ModelsDialect | None = None
    files: FilesDialect | None = None
    batch: BatchDialect | None = None
    batch_cancel: BatchCancelDialect | None = None
    batch_delete: BatchDeleteDialect | None = None
    batch_chats: tuple[ChatDialect, ...] = ()
    """What the requests of its batches may speak, the usual first: of `chat` and `chat_also`."""
    batch_embed_path: str | None = None
    """Its endpoint for embeddings, as it stands in the requests of a batch; null where batches take none."""
    batch_limits: BatchLimits | None = None
    batch_price: float | None = None
    """What an answer of a batch costs, as a part of the list price; null where that is not known."""

    def __call__(self, model: str | None = None, **options: Unpack[Options]) -> "Model":
        """Return a model of this provider: `openai("gpt-6-luna", temperature=0)`.

        Raises SettingError for an option that there is not, and for one whose value no request can hold.
        """
        if unknown := sorted(options.keys() - Options.__annotations__.keys()):
            hint = _nearest(unknown[0], [*Options.__annotations__])
            raise SettingError(f"{self.name}() has no option {unknown[0]!r}.{hint}")
        key, base_url = options.get("api_key"), options.get("base_url")
        if key is not None and not (isinstance(key, str) or callable(key)):
            raise SettingError(f"api_key= must be a text, or a function that returns one, not {type(key).__name__}.")
        if base_url is not None and not isinstance(base_url, str):
            raise SettingError(f"base_url= must be a text, not {type(base_url).__name__}.")
        return Model(
            provider=self,
            name=None if model is None else sendable(model, called="The model's name"),
            params=_params(options),
            base_url=checked_base_url(base_url or self._base_url()),
            headers=_headers(options.get("headers")),
            key=None if key is None else Secret(key),
            timeout_s=_seconds(options.get("timeout_s")),
            api=self._checked_api(options.get("api")),
        )

    def _base_url(self) -> str:
        moved = os.environ.get(self.base_url_env) if self.base_url_env else None
        if moved:
            return host_url(moved, port=self.port) + self.base_url_end
        if self.base_url is None:
            raise SettingError(f"{self.name} has no address of its own: give base_url=, or set {self.base_url_env}.")
        return self.base_url

    def _checked_api(self, api: str | None) -> str | None:
        known = [dialect.api for dialect in (self.chat, *self.chat_also) if dialect is not None]
        if api is not None and api not in known:
            raise SettingError(f"{self.name} has no API {api!r}.{_nearest(api, known)}")
        return api


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model of a provider, with how it is to answer; its key is never shown."""

    provider: Provider
    name: str | None
    """As it was named; null for the provider's usual one, or where none is needed, as for a list of batches."""
    params: Params
    base_url: str
    """Without a slash at its end."""
    headers: tuple[tuple[str, Secret], ...] = ()
    key: Secret | None = None
    timeout_s: float | None = None
    """Null for the usual time."""
    api: str | None = None
    """Null for the provider's usual API."""

    @property
    def chat_name(self) -> str | None:
        """Return which model chats; null where none was named and none is usual."""
        return self.name or self.provider.chat_model

    @property
    def chat(self) -> ChatDialect | None:
        """Return how it is spoken with; null where the provider has no chat."""
        return next(
            (one for one in self.provider.chat_also if one.api == self.api),
            self.provider.chat,
        )

    @property
    def site(self) -> Site:
        """Return where its requests go; it holds the values of `headers`, so it is not for showing."""
        headers = tuple((name, Hidden(secret.value)) for name, secret in self.headers)
        site = Site(provider=self.provider.name, base_url=self.base_url, auth=self.provider.auth, headers=headers)
        return site if self.timeout_s is None else msgspec.structs.replace(site, timeout_s=self.timeout_s)

    def __hash__(self) -> int:
        return hash((self.provider.name, self.name, self.base_url))

    def __repr__(self) -> str:
        given = [] if self.chat_name is None else [repr(self.chat_name)]
        options = [f"{name}={value!r}" for name, value in self._options()]
        return f"{self.provider.name}({', '.join(given + options)})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return [("name", self.chat_name), *self._options()]

    def _options(self) -> Iterator[tuple[str, object]]:
        """Yield what was set, as it may be shown."""
        for name, value in msgspec.structs.asdict(self.params).items():
            if value not in (None, {}):
                yield name, value
        if self.base_url != self.provider.base_url:
            yield "base_url", self.base_url
        for name, value in (("timeout_s", self.timeout_s), ("api", self.api)):
            if value is not None:
                yield name, value
        if self.headers:
            yield "headers", dict(self.headers)
        if self.key is not None:
            yield "api_key", self.key


def find_provider(name: str) -> Provider:
    """Return the provider of that name: one of ours, or one that an installed package adds.

    A package adds a provider by an entry point of the group `tidyllm.providers` that names the `Provider`. Raises
    SettingError naming the nearest one.
    """
    ours = provider_names()
    if name in ours:
        found = getattr(importlib.import_module(f"{_DECLARATIONS}.{name}"), name)
    else:
        # Imported here: it takes 16 ms, and few look for a provider that is not ours.
        from importlib.metadata import entry_points  # noqa: PLC0415 - for that reason

        added = {entry.name: entry for entry in entry_points(group=_DECLARATIONS)}
        if name not in added:
            raise SettingError(f"There is no provider {name!r}.{_nearest(name, [*ours, *added])}")
        try:
            found = added[name].load()
        except Exception as fault:  # whatever a foreign module does
            place = f"{name!r} of an installed package cannot be loaded from {added[name].value}"
            raise SettingError(f"The provider {place}: {fault!r}.") from fault
    if not isinstance(found, Provider):
        raise SettingError(f"What an installed package adds as the provider {name!r} is none: {found!r}.")
    return found


@functools.cache
def provider_names() -> tuple[str, ...]:
    """Return the names of our own providers."""
    return tuple(module.name for module in pkgutil.iter_modules(importlib.import_module(_DECLARATIONS).__path__))


def resolve_model(given: Model | str) -> Model:
    """Return the model that is meant: one is itself, `"openai/gpt-6-luna"` and `"openai"` are looked up.

    Raises SettingError for a provider that there is not.
    """
    if isinstance(given, Model):
        return given
    if isinstance(given, Provider):
        raise SettingError(f"Call the provider to get a model of it: {given.name}().")
    if not isinstance(given, str):
        raise SettingError(f"A provider is wanted, as openai() or 'openai/model-name', not {type(given).__name__}.")
    provider, _, name = given.partition("/")
    return find_provider(provider)(name or None)


def _nearest(word: str, known: Sequence[str]) -> str:
    """Return a hint, with a space before it: the nearest of the known words, or all of them."""
    near = difflib.get_close_matches(word, known, n=1)
    return f" Did you mean {near[0]!r}?" if near else f" There is: {', '.join(sorted(known))}."


def _params(options: Options) -> Params:
    """Return what is asked of the answer. Raises SettingError for a value of a kind that the option does not have."""
    given = {name: _plain(value) for name, value in options.items() if name in _PARAMS and value is not None}
    if isinstance(given.get("stop"), str):
        given["stop"] = (given["stop"],)
    if isinstance(told := given.get("logprobs"), bool):
        given["logprobs"] = 0 if told else None
    try:
        params = msgspec.convert(given, Params)
    except msgspec.ValidationError as fault:
        raise SettingError(f"An option has a value that it cannot have: {fault}.") from fault
    for text in params.stop or ():
        sendable(text, called="A text of stop=")
    for name, value in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise SettingError(f"{name}= cannot be {value}.")
    _check_extra(params.extra)
    return params


def _headers(given: object) -> tuple[tuple[str, Secret], ...]:
    if not isinstance(given or {}, Mapping):
        raise SettingError(f"headers= must be names and values, as {{'x-team': 'a'}}, not {type(given).__name__}.")
    pairs = dict(given or {}).items()  # type: ignore[call-overload]
    if odd := [name for name, value in pairs if not (isinstance(name, str) and isinstance(value, str))]:
        raise SettingError(f"headers= must have texts as names and values; {odd[0]!r} has something else.")
    return tuple((name, Secret(value)) for name, value in pairs)


def _seconds(given: object) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, float | int) or not 0 < given <= TIMEOUT_S_MAX:
        raise SettingError(f"timeout_s= must be a number above 0 and up to {TIMEOUT_S_MAX:,} seconds, not {given!r}.")
    return given


def _plain(value: object) -> object:
    """Return a number of whatever library as Python's own."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _check_extra(extra: Mapping[str, object]) -> None:
    for name, value in extra.items():
        try:
            written = msgspec.json.encode({name: value})
            if b"null" in written and _holds_no_number(value):
                raise TypeError("a number in it is infinite, or none at all")
        except (TypeError, UnicodeEncodeError, RecursionError) as fault:
            raise SettingError(f"extra= holds a field {name!r} that cannot be written as JSON: {fault}.") from fault


def _holds_no_number(value: object) -> bool:
    """Whether a number in it has no figures: JSON would have null in its place."""
    if isinstance(value, Mapping):
        return any(map(_holds_no_number, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_no_number, value))
    return isinstance(value, float) and not math.isfinite(value)
