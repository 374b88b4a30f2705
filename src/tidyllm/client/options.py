"""What a verb is told by name, as a value: for the options that several verbs share."""

from collections.abc import Collection, Mapping
from typing import TypeVar

import msgspec

from tidyllm.core.errors import SettingError

S = TypeVar("S", bound=msgspec.Struct)


def settings_from(
    options: Mapping[str, object], kind: type[S], *, known: Collection[str], of: str, **more: object
) -> S:
    """Return options as settings, with `more` that are no options; an option that is None counts as not said.

    Raises SettingError for an option that there is not, and for a value that it cannot have.
    """
    if unknown := sorted(options.keys() - set(known)):
        raise SettingError(f"There is no option {unknown[0]!r} of a {of}. There is: {', '.join(known)}.")
    given = {name: value for name, value in options.items() if value is not None}
    if isinstance(columns := given.get("media"), str):
        given["media"] = (columns,)
    try:
        return msgspec.convert({**given, **more}, kind)
    except (msgspec.ValidationError, OverflowError) as fault:
        raise SettingError(f"An option has a value that it cannot have: {fault}.") from fault
