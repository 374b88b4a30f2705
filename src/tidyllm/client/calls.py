"""How the verbs reach the network: by the process's one client, or by what `using` puts in its place; or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.wire import Call, Request
from tidyllm.provider import Model, Secret
from tidyllm.transport.background import BACKGROUND
from tidyllm.transport.drive import Sender, Transport
from tidyllm.transport.keys import Keys

T = TypeVar("T")

_INSTEAD: ContextVar[Transport | None] = ContextVar("tidyllm_transport", default=None)
_INSTEAD_IN_THREADS: list[Transport] = []
"""What the `using` blocks that are open have put there, for threads: these do not inherit a context."""
_PLACEHOLDER = "no-key"
_HIDDEN = Secret("…")


@contextmanager
def using(instead: Transport | Sender) -> Iterator[None]:
    """Have the verbs of this block send through something else, in the threads too that run meanwhile.

        with using(play("exchange.json")):
            table = list_batches(openai())

    A bare sender stands for the whole network: it is given a placeholder in place of a key from the environment.
    """
    if not isinstance(instead, Transport) and not callable(getattr(instead, "send", None)):
        raise SettingError(f"using takes a sender, as play(...) and record(...) make them, not {instead!r}.")
    transport = instead if isinstance(instead, Transport) else Transport(sender=instead, keys=Keys(_PLACEHOLDER))
    token = _INSTEAD.set(transport)
    _INSTEAD_IN_THREADS.append(transport)
    try:
        yield
    finally:
        _INSTEAD_IN_THREADS.remove(transport)
        _INSTEAD.reset(token)


def transport_for(model: Model, *, lets_go: bool = False) -> Transport:
    """Return what performs the calls to a model, with the key that the model was given, if it was.

    With `lets_go` its requests are broken off when their caller is gone: for verbs that save nothing.
    """
    transport = msgspec.structs.replace(current_transport(), lets_go=lets_go)
    return transport if model.key is None else msgspec.structs.replace(transport, keys=Keys(model.key.value))


def current_transport() -> Transport:
    """Return what performs calls in this context, with keys from the environment."""
    open_blocks = _INSTEAD_IN_THREADS[-1:]
    return _INSTEAD.get() or next(iter(open_blocks), None) or Transport(sender=BACKGROUND, pace=BACKGROUND.pace)


def shown(model: Model) -> Model:
    """Return a model for a dry run: the values of the user's own headers are left out."""
    return msgspec.structs.replace(model, headers=tuple((name, _HIDDEN) for name, _ in model.headers))


def first_request(call: Call[T]) -> Request:
    """Return what a call would send first, and send nothing."""
    wanted = next(call)
    call.close()
    assert isinstance(wanted, Request)  # noqa: S101 - no dialect begins with a pause
    return wanted
