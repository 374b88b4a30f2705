"""What a batch may be told when it is sent: its name, what it may cost, and how much may wait at a time."""

import math
from collections.abc import Sequence
from typing import TypedDict

import msgspec

from tidyllm.client.options import settings_from
from tidyllm.core.errors import SettingError


class SendOptions(TypedDict, total=False):
    """How a table is sent as a batch; each can be left out."""

    name: str | None
    """The job's name; without one it is made of the content."""
    media: str | Sequence[str] | None
    """Columns whose cells are images and files that go with what a row asks: paths, https URLs, bytes."""
    embed: str | None
    """The column whose texts become vectors, instead of `prompt=`; for a list of texts `"prompt"`."""
    prefix: str
    """What the names of the answers' columns begin with."""
    budget: float | None
    """US dollars that the whole may cost; where it might cost more, nothing is sent."""
    queue_tokens: int | None
    """Tokens of prompts that may wait at the provider at a time: the rest is sent by `wait_batch`, bit by bit."""
    adopt: str | None
    """The provider's id of a batch that an earlier attempt has created, or `"none"` where it is none of the listed."""


class SendSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The options, checked."""

    name: str | None = None
    media: tuple[str, ...] | None = None
    embed: str | None = None
    prefix: str = ""
    budget: float | None = None
    queue_tokens: int | None = None
    adopt: str | None = None


def send_settings(options: SendOptions) -> SendSettings:
    """Return the options, checked. Raises SettingError for one that there is not, and for a value it cannot have."""
    settings = settings_from(options, SendSettings, known=SendOptions.__annotations__, of="batch")
    for name in ("budget", "queue_tokens"):
        value = getattr(settings, name)
        if value is not None and not 0 < value < math.inf:
            raise SettingError(f"{name}= must be a number above 0, not {value!r}.")
    return settings
