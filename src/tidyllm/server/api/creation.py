"""What a request to create a batch asks for, and every way it can be wrong; spec/openai-batch 4.1 and 4.7."""

from collections.abc import Collection, Mapping

import msgspec

from tidyllm.server.api.checks import EXPIRY_S_MAX, EXPIRY_S_MIN, check_anchor, check_range
from tidyllm.server.api.errors import RefusedError, missing, unknown, wrong_type, wrong_value
from tidyllm.server.lines import MAIN_FIELD

ENDPOINTS = tuple(MAIN_FIELD)
"""Those of OpenAI's endpoints whose batches this server runs."""
COMPLETION_WINDOWS: Mapping[str, int] = {"24h": 86_400}
"""How long a batch may take, in seconds, by the word for it."""

_PARAMS = frozenset({"input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after", "tidyllm"})
_PAIRS_MAX = 16
_KEY_CHARS_MAX = 64
_VALUE_CHARS_MAX = 512


class Creation(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted request to create a batch."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None
    output_expires_after_s: int | None
    in_order: bool


def read_creation(body: Mapping[str, object]) -> Creation:
    """Return what the JSON body asks for; raises RefusedError with the first thing that is wrong."""
    creation = Creation(
        input_file_id=_word(body, "input_file_id"),
        endpoint=_word(body, "endpoint", supported=ENDPOINTS),
        completion_window=_word(body, "completion_window", supported=COMPLETION_WINDOWS),
        metadata=_metadata(body.get("metadata")),
        output_expires_after_s=_output_expiry(body.get("output_expires_after")),
        in_order=_in_order(body.get("tidyllm")),
    )
    if extra := sorted(set(body) - _PARAMS):
        raise unknown(extra[0])
    return creation


def _word(body: Mapping[str, object], param: str, *, supported: Collection[str] | None = None) -> str:
    if param not in body:
        raise missing(param)
    value = body[param]
    if not isinstance(value, str):
        raise wrong_type(param, expected="a string", value=value)
    if supported is not None and value not in supported:
        raise wrong_value(param, value=value, supported=supported)
    return value


def _metadata(value: object) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise wrong_type("metadata", expected="a metadata object", value=value)
    if len(value) > _PAIRS_MAX:
        message = (
            f"Invalid 'metadata': too many properties. Expected an object with at most {_PAIRS_MAX} properties, "
            f"but got an object with {len(value)} properties instead."
        )
        raise RefusedError(message, param="metadata", code="object_above_max_properties")
    return {key: _metadata_value(key, text) for key, text in value.items()}


def _metadata_value(key: str, value: object) -> str:
    if len(key) > _KEY_CHARS_MAX:
        message = (
            f"Invalid property name in 'metadata': '{key}' is too long. Expected a string with maximum length "
            f"{_KEY_CHARS_MAX}, but got a string with length {len(key)} instead."
        )
        raise RefusedError(message, param="metadata", code="property_name_above_max_length")
    param = f"metadata.{key}"
    if not isinstance(value, str):
        raise wrong_type(param, expected="a string", value=value)
    if len(value) > _VALUE_CHARS_MAX:
        message = (
            f"Invalid '{param}': string too long. Expected a string with maximum length {_VALUE_CHARS_MAX}, "
            f"but got a string with length {len(value)} instead."
        )
        raise RefusedError(message, param=param, code="string_above_max_length")
    return value


def _output_expiry(value: object) -> int | None:
    param = "output_expires_after"
    if value is None:
        return None
    if not isinstance(value, dict):
        raise wrong_type(param, expected="an object", value=value)
    if extra := sorted(set(value) - {"anchor", "seconds"}):
        raise unknown(f"{param}.{extra[0]}")
    check_anchor(value.get("anchor"), param=f"{param}.anchor")
    param = f"{param}.seconds"
    if "seconds" not in value:
        raise missing(param)
    seconds = value["seconds"]
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        raise wrong_type(param, expected="an integer", value=seconds)
    return check_range(seconds, param=param, low=EXPIRY_S_MIN, high=EXPIRY_S_MAX)


def _in_order(value: object) -> bool:
    """Return what is asked for beyond OpenAI's parameters."""
    if value is None:
        return False
    if not isinstance(value, dict):
        raise wrong_type("tidyllm", expected="an object", value=value)
    if extra := sorted(set(value) - {"in_order"}):
        raise unknown(f"tidyllm.{extra[0]}")
    wanted = value.get("in_order", False)
    if not isinstance(wanted, bool):
        raise wrong_type("tidyllm.in_order", expected="a boolean", value=wanted)
    return wanted
