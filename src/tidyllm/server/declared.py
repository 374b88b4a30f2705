"""The upstreams of the server, as the `[[upstream]]` tables of the settings file declare them."""

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import msgspec

from tidyllm.core.auth import Auth
from tidyllm.core.errors import SettingError
from tidyllm.core.url import checked_base_url

Words = Annotated[str, msgspec.Meta(min_length=1)]
Rate = Annotated[float, msgspec.Meta(gt=0)]


class UpstreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One upstream: an OpenAI-compatible endpoint, the models it answers, and how much may be asked of it."""

    name: Words
    """What it is called in the log and by `tidyllm upstreams`; each has its own."""
    base_url: Words
    """Base URL of the endpoint, with its `/v1`."""
    models: Annotated[tuple[Words, ...], msgspec.Meta(min_length=1)] = ("*",)
    """Names of the models it answers; `*` stands for any letters, `?` for one, `[ab]` for one of these."""
    key_env: Words | None = None
    """Name of the environment variable that holds its key; without it none is sent, as a key is for one place alone."""
    max_concurrency: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Requests in flight at most, over all workers: each gets its part."""
    rpm: Rate | None = None
    """Requests a minute at most, over all workers."""
    tpm: Rate | None = None
    """Tokens a minute at most, over all workers."""

    @property
    def auth(self) -> Auth | None:
        """Return how its requests are signed; null where no key is sent."""
        return None if self.key_env is None else Auth(env=self.key_env, required=False)

    def takes(self, model: str) -> bool:
        """Return whether it answers requests for a model."""
        return any(fnmatchcase(model, pattern) for pattern in self.models)


_FIELDS: Mapping[str, msgspec.structs.FieldInfo] = {
    field.name: field for field in msgspec.structs.fields(UpstreamSettings)
}


def read_upstreams(tables: object, *, file: Path) -> tuple[UpstreamSettings, ...]:
    """Return the upstreams that a settings file declares. Raises SettingError naming file, table and field."""
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise SettingError(f"In {file}, `upstream` is not a list of tables: write each below a line `[[upstream]]`.")
    upstreams = tuple(_read(table, place=_place(table, number, file=file)) for number, table in enumerate(tables, 1))
    names = [upstream.name for upstream in upstreams]
    if doubled := next((name for name in names if names.count(name) > 1), None):
        raise SettingError(f"In {file}, two [[upstream]] tables have the `name` {doubled!r}: each needs its own.")
    return upstreams


def refuse_small_parts(upstreams: Sequence[UpstreamSettings], *, workers: int, file: str) -> None:
    """Raise SettingError where the workers are so many that some would get no part of an upstream."""
    for upstream in upstreams:
        if upstream.max_concurrency is not None and upstream.max_concurrency < workers:
            raise SettingError(
                f"In {file}, [[upstream]] {upstream.name!r}, `max_concurrency` is {upstream.max_concurrency}, which "
                f"gives none to some of {workers} workers: lower `workers`."
            )


def _place(table: Mapping[str, object], number: int, *, file: Path) -> str:
    name = table.get("name")
    return f"{file}, [[upstream]] {name!r}" if name and isinstance(name, str) else f"{file}, [[upstream]] {number}"


def _read(table: Mapping[str, object], *, place: str) -> UpstreamSettings:
    for name, value in table.items():
        _check(name, value, place=place)
    for name, field in _FIELDS.items():
        if field.required and name not in table:
            raise SettingError(f"In {place}, `{name}` is missing.")
    upstream = msgspec.convert(table, UpstreamSettings)
    url = checked_base_url(upstream.base_url, called=f"In {place}, `base_url`")
    return msgspec.structs.replace(upstream, base_url=url)


def _check(name: str, value: object, *, place: str) -> None:
    if name not in _FIELDS:
        nearest = difflib.get_close_matches(name, _FIELDS, n=1)
        hint = f"did you mean `{nearest[0]}`?" if nearest else f"there are {', '.join(_FIELDS)}."
        raise SettingError(f"There is no field `{name}` ({place}): {hint}")
    try:
        msgspec.convert(value, _FIELDS[name].type)
    except msgspec.ValidationError as error:
        raise SettingError(f"The field `{name}` ({place}) is wrong: {error}, but it is {value!r}.") from error
