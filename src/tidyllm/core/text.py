"""Whether a text can be sent: what no request can hold is refused where it is said."""

from tidyllm.core.errors import SettingError


def sendable(text: object, *, called: str) -> str:
    """Return a text. Raises SettingError for what is none, or holds half a character, naming it as it is called."""
    if not isinstance(text, str):
        raise SettingError(f"{called} must be a text, not {type(text).__name__}.")
    try:
        text.encode()
    except UnicodeEncodeError as fault:
        raise SettingError(f"{called} holds half a character, which cannot be sent: {fault}.") from fault
    return text
