"""What pyreqwest's exceptions mean in the words of `core.errors`."""

import re

from pyreqwest.exceptions import BuilderError, PyreqwestError, RequestTimeoutError

from tidyllm.core.errors import (
    AnswerTimeoutError,
    BrokenConnectionError,
    ConnectError,
    SettingError,
    TidyllmError,
)

# What hyper-util calls every failure before a connection stood: refused, unresolved, TLS, a proxy's tunnel. pyreqwest's
# own ConnectError is wider: it is raised as well when a server took the request and hung up.
_NEVER_STOOD = "client error (Connect)"

_USER = re.compile(r"//[^/]*@")


def translate(error: PyreqwestError, url: str) -> TidyllmError:
    """Return the error of our own tree that says what `error` means for a request to `url`.

    `ConnectError` is returned only where the connection never stood; whatever else went wrong may have been sent.
    """
    if isinstance(error, BuilderError):
        return SettingError(f"{without_secrets(url)} cannot be requested: {_reason(error)}.")
    where = without_secrets(url)
    if _NEVER_STOOD in _causes(error):
        return ConnectError(f"No connection to {where}: {_reason(error)}. Is the address right, and is it up?", url=url)
    if isinstance(error, RequestTimeoutError):
        return AnswerTimeoutError(f"{where} did not answer in time.", url=url)
    return BrokenConnectionError(f"The exchange with {where} broke off: {_reason(error)}.", url=url)


def without_secrets(url: str) -> str:
    """Return the URL without query and user name, which may hold secrets: messages are logged."""
    return _USER.sub("//", url.partition("?")[0], count=1)


def _causes(error: PyreqwestError) -> list[str]:
    details = getattr(error, "details", None) or {}
    return [cause["message"] for cause in details.get("causes") or ()]


def _reason(error: PyreqwestError) -> str:
    """Return the innermost cause; the outer ones repeat the URL."""
    causes = _causes(error)
    return causes[-1] if causes else error.message
