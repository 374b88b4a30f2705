"""What a run of many rows may be told: its name, its ceilings, and what becomes of failures."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, TypedDict

import msgspec

from tidyllm.client.options import settings_from
from tidyllm.core.errors import SettingError
from tidyllm.core.text import sendable
from tidyllm.transport.pace import Ceilings

LEAST, MOST = 1e-9, 10**12
"""Of every option that is a number: what is beyond can only be a mistake, and some of it no clock can count."""


Mode: TypeAlias = Literal["now", "batch", "auto"]


class RunOptions(TypedDict, total=False):
    """How many rows, or the conversations of a list, are asked; each can be left out."""

    mode: Mode
    """`"batch"` sends a table as a batch and waits for it; `"auto"` also asks at once what has failed there."""
    media: str | Sequence[str] | None
    """Columns of a table whose cells are images and files that go with what a row asks: paths, https URLs, bytes."""
    name: str | None
    """A name makes the run a job on disk: every answer is kept as it comes, and a second run asks what is missing."""
    max_concurrency: int | None
    """Requests under way at most; how many are good is found by itself."""
    rpm: float | None
    """Requests a minute at most."""
    tpm: float | None
    """Tokens a minute at most, of prompts and answers together."""
    budget: float | None
    """US dollars at most, at list prices; what has no known price cannot have one."""
    timeout: float | None
    """Seconds for the whole run; rows without an answer by then are pending."""
    dedup: bool | None
    """Whether equal requests are asked once; unless told, only where the temperature is 0 or a seed is set."""
    on_error: Literal["row", "raise"]
    """Whether a row that fails stays a row, or PartlyFailedError is raised once all that was answered is saved."""
    prefix: str
    """What the names of the answers' columns begin with."""


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The options, checked."""

    mode: Mode = "now"
    media: tuple[str, ...] | None = None
    name: str | None = None
    max_concurrency: int | None = None
    rpm: float | None = None
    tpm: float | None = None
    budget: float | None = None
    timeout: float | None = None
    dedup: bool | None = None
    on_error: Literal["row", "raise"] = "row"
    prefix: str = ""
    reask: bool = False
    """Whether a row whose answer does not fit is asked twice; `chat` has it beside the schema."""

    @property
    def ceilings(self) -> Ceilings:
        """Return what the run's model may not be asked beyond."""
        return Ceilings(concurrency=self.max_concurrency, requests_per_minute=self.rpm, tokens_per_minute=self.tpm)


def run_settings(options: RunOptions, *, reask: bool = False) -> RunSettings:
    """Return the options, checked. Raises SettingError for one that there is not, and for a value it cannot have."""
    settings = settings_from(options, RunSettings, known=RunOptions.__annotations__, of="run", reask=reask)
    for name in ("max_concurrency", "rpm", "tpm", "budget", "timeout"):
        value = getattr(settings, name)
        if value is not None and not LEAST <= value <= MOST:
            # The value itself may have more digits than Python writes.
            raise SettingError(f"{name}= must be a number above 0, and {MOST:,} at most.")
    sendable(settings.prefix, called="prefix=")
    if settings.mode == "batch":
        _refuse_of_now(options, reask=reask)
    return settings


def _refuse_of_now(options: RunOptions, *, reask: bool) -> None:
    """Raise SettingError for what a batch cannot be told."""
    of_now = ("max_concurrency", "rpm", "tpm", "timeout", "dedup")
    told = [name for name in of_now if options.get(name) is not None]
    if reask:
        told.append("reask")
    if told:
        raise SettingError(f'{told[0]}= is for rows that are asked now, or with mode="auto", and not for a batch.')
