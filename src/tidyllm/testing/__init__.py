"""What helps to test without a provider: a simulated model, exchanges recorded and replayed, a clock moved by hand.

The names are loaded when first used, because the simulated model needs the extra `server`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from tidyllm.core.errors import SettingError

if TYPE_CHECKING:
    from tidyllm.testing.behavior import Behavior, LatencyShape, OverCapacity
    from tidyllm.testing.clock import ManualClock
    from tidyllm.testing.exchanges import Player, play
    from tidyllm.testing.model import SimulatedModel
    from tidyllm.testing.recording import record
    from tidyllm.testing.simulated import run_simulated, serve_simulated, simulated_model
    from tidyllm.testing.witness import Counts, KeyCounts, Witness, request_key

__all__ = [
    "Behavior",
    "Counts",
    "KeyCounts",
    "LatencyShape",
    "ManualClock",
    "OverCapacity",
    "Player",
    "SimulatedModel",
    "Witness",
    "play",
    "record",
    "request_key",
    "run_simulated",
    "serve_simulated",
    "simulated_model",
]

_MODULE_OF = {
    "Behavior": "behavior",
    "Counts": "witness",
    "KeyCounts": "witness",
    "LatencyShape": "behavior",
    "ManualClock": "clock",
    "OverCapacity": "behavior",
    "Player": "exchanges",
    "SimulatedModel": "model",
    "Witness": "witness",
    "play": "exchanges",
    "record": "recording",
    "request_key": "witness",
    "run_simulated": "simulated",
    "serve_simulated": "simulated",
    "simulated_model": "simulated",
}


if not TYPE_CHECKING:  # A type checker would take any misspelt name for a lazy one.

    def __getattr__(name: str) -> object:
        """Load a public name; raise SettingError if the library it needs is not installed."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            module = import_module(f"{__name__}.{_MODULE_OF[name]}")
        except ModuleNotFoundError as error:
            if error.name != "httptools":
                raise
            raise SettingError('The simulated model needs httptools: pip install "tidyllm[server]".') from error
        return getattr(module, name)


def __dir__() -> list[str]:
    return __all__
