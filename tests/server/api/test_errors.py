import msgspec
import pytest

from tidyllm.server.api.errors import RefusedError, error_response, internal_error, too_large, type_words, wrong_value


def test_error_has_all_four_keys_and_null_where_nothing_is_known() -> None:
    response = error_response(RefusedError("No."))
    assert response.status_code == 400
    assert response.media_type == "application/json"
    assert msgspec.json.decode(response.body) == {
        "error": {"message": "No.", "type": "invalid_request_error", "param": None, "code": None}
    }


def test_error_carries_its_facts_and_headers() -> None:
    refused = RefusedError("No.", status=409, param="a", code="b", headers={"x-should-retry": "false"})
    response = error_response(refused)
    assert response.status_code == 409
    assert response.headers["x-should-retry"] == "false"
    assert msgspec.json.decode(response.body)["error"]["code"] == "b"


def test_fault_of_ours_is_a_server_error() -> None:
    response = error_response(internal_error())
    assert response.status_code == 500
    assert msgspec.json.decode(response.body)["error"]["type"] == "server_error"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "a boolean"),
        ("", "a string"),
        (1, "an integer"),
        (1.5, "a decimal"),
        ([], "an array"),
        ({}, "an object"),
    ],
)
def test_types_are_named_with_their_article(value: object, words: str) -> None:
    assert type_words(value) == words


def test_supported_values_are_listed() -> None:
    assert str(wrong_value("p", value="x", supported=["a", "b"])) == (
        "Invalid value: 'x'. Supported values are: 'a', 'b'."
    )


def test_limit_is_said_in_bytes() -> None:
    assert str(too_large("The file", bytes_max=1_048_576)) == "The file is too large: the limit is 1,048,576 bytes."
