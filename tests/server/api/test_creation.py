import pytest

from tidyllm.server.api.creation import ENDPOINTS, Creation, read_creation
from tidyllm.server.api.errors import RefusedError

GOOD: dict[str, object] = {
    "input_file_id": "file-1",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
}


def test_only_three_parameters_are_needed() -> None:
    assert read_creation(GOOD) == Creation(
        input_file_id="file-1",
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata=None,
        output_expires_after_s=None,
        in_order=False,
    )


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_endpoints_that_this_server_runs_are_accepted(endpoint: str) -> None:
    assert read_creation({**GOOD, "endpoint": endpoint}).endpoint == endpoint


def test_null_stands_for_an_optional_parameter_that_is_not_set() -> None:
    creation = read_creation({**GOOD, "metadata": None, "output_expires_after": None})
    assert (creation.metadata, creation.output_expires_after_s) == (None, None)


def test_largest_metadata_is_accepted() -> None:
    metadata = {f"{number:064}": "v" * 512 for number in range(16)}
    assert read_creation({**GOOD, "metadata": metadata}).metadata == metadata
    assert read_creation({**GOOD, "metadata": {}}).metadata == {}


@pytest.mark.parametrize("seconds", [3600, 2_592_000])
def test_output_expiry_is_read_within_its_bounds(seconds: int) -> None:
    creation = read_creation({**GOOD, "output_expires_after": {"anchor": "created_at", "seconds": seconds}})
    assert creation.output_expires_after_s == seconds


def test_lines_can_be_asked_to_be_sent_in_order() -> None:
    assert read_creation({**GOOD, "tidyllm": {"in_order": True}}).in_order
    assert not read_creation({**GOOD, "tidyllm": {}}).in_order


SUPPORTED = "'/v1/chat/completions', '/v1/embeddings', '/v1/completions', '/v1/responses', '/v1/moderations'"
LONG_KEY = "k" * 65
EXPIRY = "output_expires_after"

WRONG: list[tuple[dict[str, object], str, str, str]] = [
    (
        {"endpoint": "/v1/videos"},
        "endpoint",
        "invalid_value",
        f"Invalid value: '/v1/videos'. Supported values are: {SUPPORTED}.",
    ),
    (
        {"endpoint": "v1/responses"},
        "endpoint",
        "invalid_value",
        f"Invalid value: 'v1/responses'. Supported values are: {SUPPORTED}.",
    ),
    (
        {"tidyllm": "in_order"},
        "tidyllm",
        "invalid_type",
        "Invalid type for 'tidyllm': expected an object, but got a string instead.",
    ),
    (
        {"tidyllm": {"in_order": 1}},
        "tidyllm.in_order",
        "invalid_type",
        "Invalid type for 'tidyllm.in_order': expected a boolean, but got an integer instead.",
    ),
    (
        {"tidyllm": {"priority": 1}},
        "tidyllm.priority",
        "unknown_parameter",
        "Unknown parameter: 'tidyllm.priority'.",
    ),
    (
        {"endpoint": 5},
        "endpoint",
        "invalid_type",
        "Invalid type for 'endpoint': expected a string, but got an integer instead.",
    ),
    (
        {"input_file_id": None},
        "input_file_id",
        "invalid_type",
        "Invalid type for 'input_file_id': expected a string, but got null instead.",
    ),
    (
        {"completion_window": "12h"},
        "completion_window",
        "invalid_value",
        "Invalid value: '12h'. Supported values are: '24h'.",
    ),
    (
        {"metadata": "x"},
        "metadata",
        "invalid_type",
        "Invalid type for 'metadata': expected a metadata object, but got a string instead.",
    ),
    (
        {"metadata": {"k": []}},
        "metadata.k",
        "invalid_type",
        "Invalid type for 'metadata.k': expected a string, but got an array instead.",
    ),
    (
        {"metadata": {"k": None}},
        "metadata.k",
        "invalid_type",
        "Invalid type for 'metadata.k': expected a string, but got null instead.",
    ),
    (
        {"metadata": {str(n): "" for n in range(17)}},
        "metadata",
        "object_above_max_properties",
        (
            "Invalid 'metadata': too many properties. "
            "Expected an object with at most 16 properties, but got an object with 17 properties instead."
        ),
    ),
    (
        {"metadata": {LONG_KEY: ""}},
        "metadata",
        "property_name_above_max_length",
        (
            f"Invalid property name in 'metadata': '{LONG_KEY}' is too long. "
            "Expected a string with maximum length 64, but got a string with length 65 instead."
        ),
    ),
    (
        {"metadata": {"k": "v" * 513}},
        "metadata.k",
        "string_above_max_length",
        (
            "Invalid 'metadata.k': string too long. "
            "Expected a string with maximum length 512, but got a string with length 513 instead."
        ),
    ),
    (
        {EXPIRY: 3600},
        EXPIRY,
        "invalid_type",
        f"Invalid type for '{EXPIRY}': expected an object, but got an integer instead.",
    ),
    ({EXPIRY: {}}, f"{EXPIRY}.anchor", "missing_required_parameter", f"Missing required parameter: '{EXPIRY}.anchor'."),
    (
        {EXPIRY: {"anchor": 1}},
        f"{EXPIRY}.anchor",
        "invalid_type",
        f"Invalid type for '{EXPIRY}.anchor': expected a string, but got an integer instead.",
    ),
    (
        {EXPIRY: {"anchor": "now"}},
        f"{EXPIRY}.anchor",
        "invalid_value",
        "Invalid value: 'now'. Supported values are: 'created_at'.",
    ),
    (
        {EXPIRY: {"anchor": "created_at"}},
        f"{EXPIRY}.seconds",
        "missing_required_parameter",
        f"Missing required parameter: '{EXPIRY}.seconds'.",
    ),
    (
        {EXPIRY: {"anchor": "created_at", "seconds": True}},
        f"{EXPIRY}.seconds",
        "invalid_type",
        f"Invalid type for '{EXPIRY}.seconds': expected an integer, but got a boolean instead.",
    ),
    (
        {EXPIRY: {"anchor": "created_at", "seconds": 3599}},
        f"{EXPIRY}.seconds",
        "integer_below_min_value",
        f"Invalid '{EXPIRY}.seconds': integer below minimum value. Expected a value >= 3600, but got 3599 instead.",
    ),
    (
        {EXPIRY: {"anchor": "created_at", "seconds": 2592001}},
        f"{EXPIRY}.seconds",
        "integer_above_max_value",
        (
            f"Invalid '{EXPIRY}.seconds': integer above maximum value. "
            "Expected a value <= 2592000, but got 2592001 instead."
        ),
    ),
    (
        {EXPIRY: {"anchor": "created_at", "seconds": 3600, "x": 1}},
        f"{EXPIRY}.x",
        "unknown_parameter",
        f"Unknown parameter: '{EXPIRY}.x'.",
    ),
    ({"priority": 1}, "priority", "unknown_parameter", "Unknown parameter: 'priority'."),
]


@pytest.mark.parametrize(("changes", "param", "code", "message"), WRONG)
def test_wrong_parameter_is_named_with_its_code(
    changes: dict[str, object], param: str, code: str, message: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        read_creation({**GOOD, **changes})
    refused = caught.value
    assert (refused.status, refused.param, refused.code, str(refused)) == (400, param, code, message)


@pytest.mark.parametrize("param", sorted(GOOD))
def test_missing_parameter_is_named(param: str) -> None:
    with pytest.raises(RefusedError) as caught:
        read_creation({name: value for name, value in GOOD.items() if name != param})
    assert (caught.value.param, caught.value.code) == (param, "missing_required_parameter")
    assert str(caught.value) == f"Missing required parameter: '{param}'."
