import pytest

from tests.server.api.conftest import Served


def test_health_says_ok_and_the_version(shared: Served) -> None:
    answer = shared.ask("GET", "/health")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json["status"] == "ok"
    assert answer.json["version"] == shared.app.version


def test_health_tells_of_a_disk_that_is_low(served: Served) -> None:
    served.disk.room = 7
    told = served.ask("GET", "/health").json
    assert (told["status"], told["disk"]) == ("low_disk", {"free_bytes": 7, "free_min_bytes": 256 * 2**20})
    served.disk.gone = True
    assert served.ask("GET", "/health").json["status"] == "disk_error"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/x"),
        ("GET", "/"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/v1/batches/"),
        ("GET", "/v1/files/a%2Fb"),
        ("GET", "/v2/batches"),
    ],
)
def test_unknown_url_is_invalid(shared: Served, method: str, path: str) -> None:
    answer = shared.ask(method, path)
    assert answer.status == 404
    assert answer.error == {
        "message": f"Invalid URL ({method} {path.replace('%2F', '/')})",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/files", "GET, POST"),
        ("DELETE", "/v1/batches", "GET, POST"),
        ("POST", "/v1/files/file-1", "DELETE, GET"),
        ("DELETE", "/v1/batches/batch_1", "GET"),
        ("GET", "/v1/batches/batch_1/cancel", "POST"),
    ],
)
def test_wrong_method_is_refused_with_the_right_ones(shared: Served, method: str, path: str, allowed: str) -> None:
    answer = shared.ask(method, path)
    assert answer.status == 405
    assert answer.headers["allow"] == allowed
    assert (answer.error["type"], answer.error["code"]) == ("invalid_request_error", "method_not_allowed")


def test_any_key_or_none_is_accepted(shared: Served) -> None:
    for headers in ({}, {"authorization": "Bearer sk-x"}, {"authorization": "Basic %%%"}, {"api-key": "k"}):
        assert shared.ask("GET", "/v1/batches", headers=headers).status == 200


@pytest.mark.parametrize("path", ["/v1/batches", "/v1/files", "/v1/batches/batch_1", "/v1/files/file-1"])
def test_bodiless_request_may_claim_to_be_json(shared: Served, path: str) -> None:
    # SDKs of 1.x send this header with every GET, those of 3.x with DELETE and cancel.
    headers = {"content-type": "application/json"}
    assert shared.ask("GET", path, headers=headers).status in {200, 404}
    assert shared.ask("DELETE", "/v1/files/file-1", headers=headers).status == 404
    assert shared.ask("POST", "/v1/batches/batch_1/cancel", headers=headers).status == 404
