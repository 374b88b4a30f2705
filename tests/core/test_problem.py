"""Error answers in every provider's shape."""

import json

import pytest

from tidyllm.core.problem import Problem, problem_in_success, read_problem

GOOGLE = {
    "error": {
        "code": 429,
        "message": "Quota exceeded.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.83s"},
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": ["odd", {"quotaId": "PerMinute"}]},
            "odd",
        ],
    }
}


def read(said: object) -> Problem:
    return read_problem(json.dumps(said).encode())


@pytest.mark.parametrize(
    ("said", "message", "status"),
    [
        ({"error": {"message": "m", "type": "invalid_request_error", "code": None}}, "m", 400),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, "m", 529),
        (
            {"object": "error", "message": {"detail": [{"msg": "x"}]}, "raw_status_code": 422},
            '{"detail":[{"msg":"x"}]}',
            422,
        ),
        ({"detail": [{"loc": ["a"], "msg": "x"}]}, '[{"loc":["a"],"msg":"x"}]', None),
        ({"detail": "Unauthorized"}, "Unauthorized", None),
        ({"statusCode": 401, "message": "m"}, "m", 401),
        ({"error": {"code": "404", "message": "Resource not found"}}, "Resource not found", 404),
        ({"error": "Unauthorized"}, "Unauthorized", None),
        ({"error": {"code": 502, "message": "m", "metadata": {"raw": "why", "provider_name": "p"}}}, "m: why", 502),
        ({"error": {"code": 502, "message": "m", "metadata": {"raw": {"a": 1}}}}, 'm: {"a":1}', 502),
        ({"error": {"message": "m", "status_code": 400, "code": "tool_use_failed"}}, "m", 400),
        (GOOGLE, "Quota exceeded.", 429),
        ([GOOGLE], "Quota exceeded.", 429),
        ([], "[]", None),
        (None, None, None),
        (3, "3", None),
    ],
)
def test_what_it_says_is_found(said: object, message: str | None, status: int | None) -> None:
    problem = read(said)
    assert (problem.message, problem.status) == (message, status)


def test_the_wait_that_google_asks_for_stands_in_the_body() -> None:
    problem = read(GOOGLE)
    assert (problem.retry_after_s, problem.final) == (45.83, False)


@pytest.mark.parametrize(
    "error",
    [
        {"code": "insufficient_quota"},
        {"type": "billing_error"},
        {"details": {"error_code": "enforced_spend_limit_reached"}},
        {"metadata": {"limit_source": "openrouter_key_limit"}},
        {"details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProject"}]}]},
    ],
)
def test_what_no_waiting_cures_is_final(error: object) -> None:
    assert read({"error": error}).final


def test_a_budget_in_flight_passes() -> None:
    problem = read({"error": {"code": 402, "metadata": {"limit_source": "openrouter_in_flight_budget"}}})
    assert (problem.status, problem.final, problem.passing) == (429, False, True)


def test_a_wrong_key_of_google_s_is_known_by_its_reason() -> None:
    assert read({"error": {"code": 400, "details": [{"reason": "API_KEY_INVALID"}]}}).status == 401


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"choices": [{"message": {"content": "\\"error\\""}}]}', None),
        (b'{"error": null, "output": []}', None),
        (b'{"error": 3}', None),
        (b'"error"', None),
        (b'{"error": {"message": "m"}}', "m"),
        (b'{"choices": [{"error": {"message": "m"}}]}', "m"),
    ],
)
def test_an_error_in_a_success_is_found(body: bytes, message: str | None) -> None:
    problem = problem_in_success(body)
    assert (None if problem is None else problem.message) == message
