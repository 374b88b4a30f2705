"""The model that the options of a command mean."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from tidyllm.core.errors import SettingError

if TYPE_CHECKING:
    from tidyllm.provider import Model, Options

_NAMED = frozenset({"self", "model"})
"""Names that Python gives a meaning of their own where the others are parameters."""


def model_from(
    word: str, *, base_url: str | None = None, api: str | None = None, params: Iterable[str] = ()
) -> "Model":
    """Return the model that `provider/model` or `provider` means, with parameters as `name=value`.

    Raises SettingError for one that there is not, and for a parameter that is none.
    """
    # It loads slower than the whole command line.
    from tidyllm.provider import find_provider  # noqa: PLC0415 - for that reason

    options = {name: value for name, value in (("base_url", base_url), ("api", api)) if value is not None}
    told: dict[str, object] = {}
    for param in params:
        name, equals, value = param.partition("=")
        if not equals:
            raise SettingError(f"--param is a name and a value, as in --param temperature=0, not {param!r}.")
        if name in _NAMED:
            raise SettingError(f"{name} is no parameter of a model: --model says whom to ask.")
        if name in told or name in options:
            raise SettingError(f"{name} is given twice.")
        told[name] = _value(value)
    provider, _, name = word.partition("/")
    return find_provider(provider)(name or None, **cast("Options", {**options, **told}))


def whom(word: str | None, *, base_url: str | None) -> "Model | None":
    """Return the model that is to be asked about a job, if one is given; else the job knows."""
    if word is not None:
        return model_from(word, base_url=base_url)
    if base_url is not None:
        raise SettingError("--base-url needs --model, which says whose address it is.")
    return None


def _value(text: str) -> object:
    """Return a value as JSON has it, and as a text where it is none."""
    # It loads slower than the whole command line.
    import msgspec  # noqa: PLC0415 - for that reason

    try:
        value: object = msgspec.json.decode(text.encode())
    except (msgspec.DecodeError, UnicodeEncodeError):
        return text
    return value
