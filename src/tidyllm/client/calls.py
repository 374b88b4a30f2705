"""How the verbs reach the network: by the process's one client, or by what `using` puts in its place."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import msgspec

from tidyllm.provider import Model
from tidyllm.transport.background import BACKGROUND
from tidyllm.transport.drive import Sender, Transport
from tidyllm.transport.keys import Keys

_INSTEAD: ContextVar[Transport | None] = ContextVar("tidyllm_transport", default=None)
_PLACEHOLDER = "no-key"


@contextmanager
def using(instead: Transport | Sender) -> Iterator[None]:
    """Have the verbs of this context send through something else.

        with using(play("exchange.json")):
            table = list_batches(openai())

    A bare sender stands for the whole network: it is given a placeholder in place of a key from the environment.
    """
    transport = instead if isinstance(instead, Transport) else Transport(sender=instead, keys=Keys(_PLACEHOLDER))
    token = _INSTEAD.set(transport)
    try:
        yield
    finally:
        _INSTEAD.reset(token)


def transport_for(model: Model) -> Transport:
    """Return what performs the calls to a model, with the key that the model was given, if it was."""
    transport = _INSTEAD.get() or Transport(sender=BACKGROUND)
    if model.key is None:
        return transport
    return msgspec.structs.replace(transport, keys=Keys(model.key.value))
