"""Error answers, and successful ones that are none."""

import json

import pytest

from tidyllm.core.auth import Auth
from tidyllm.core.errors import (
    ApiError,
    AuthError,
    BadAnswerError,
    ConflictError,
    NotFoundError,
    QuotaError,
    RateLimitError,
    ServerError,
)
from tidyllm.core.problem import read_problem
from tidyllm.core.wire import Response
from tidyllm.dialect import Site
from tidyllm.dialects.errors import decode, success

SITE = Site(provider="openai", base_url="https://api.openai.com/v1", auth=Auth(env="OPENAI_API_KEY"))


def refusal(status: int, **error: object) -> Response:
    headers = {"x-request-id": "req_1", "retry-after": "7"}
    return Response(status=status, headers=headers, body=json.dumps({"error": error}).encode())


def test_the_error_carries_the_facts() -> None:
    with pytest.raises(RateLimitError, match="openai answered 429: Too fast") as caught:
        success(refusal(429, message="Too fast", type="requests", param="model", code="rate_limit_exceeded"), SITE)
    error = caught.value
    assert (error.status, error.provider, error.code, error.param) == (429, "openai", "rate_limit_exceeded", "model")
    assert (error.request_id, error.retry_after_s) == ("req_1", 7.0)
    assert error.body.startswith(b'{"error"')


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (refusal(404, message="No such File object"), NotFoundError),
        (refusal(409, message="Cannot cancel"), ConflictError),
        (refusal(429, code="insufficient_quota"), QuotaError),
        (refusal(429, type="credit_balance_exhausted"), QuotaError),
        (refusal(503, code="slow_down"), ServerError),
        (refusal(418, code=418), ApiError),
    ],
)
def test_each_status_has_its_error(response: Response, kind: type[ApiError]) -> None:
    with pytest.raises(ApiError) as caught:
        success(response, SITE)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("source", "kind"), [("openrouter_in_flight_budget", RateLimitError), ("openrouter_credits", QuotaError)]
)
def test_a_402_that_waiting_cures_is_told_from_one_that_it_does_not(source: str, kind: type[ApiError]) -> None:
    with pytest.raises(kind) as caught:
        success(refusal(402, code=402, metadata={"limit_source": source}), SITE)
    assert type(caught.value) is kind
    assert caught.value.status == 402


def test_a_wrong_key_says_where_it_came_from() -> None:
    with pytest.raises(AuthError, match="Check the key in OPENAI_API_KEY"):
        success(refusal(401, message="Incorrect API key provided"), SITE)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "m", "code": 3}}', "m"),
        (b'{"error": "model not found"}', "model not found"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b'{"message": "m"}', "m"),
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>"),
        (b"[]", "[]"),
        (b"\xff\xfe", "��"),
        (b" ", None),
        (b"{}", None),
        (b"x" * 1_000, "x" * 500),
        (b'{"error":"occup\xe9"}', '{"error":"occup\ufffd"}'),
        (b'{"a":' + b"[" * 100_000, '{"a":' + "[" * 495),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_an_error_is_read_as_far_as_it_can_be(body: bytes, message: str | None) -> None:
    assert read_problem(body).message == message


def test_a_number_for_a_code_is_kept() -> None:
    assert read_problem(b'{"error": {"code": 3}}').code == "3"


def test_a_success_that_is_something_else_is_an_error_that_shows_it() -> None:
    with pytest.raises(BadAnswerError, match="<html>") as caught:
        decode(b"<html>", dict, site=SITE)
    assert caught.value.body == b"<html>"
    with pytest.raises(BadAnswerError):
        decode(b"[" * 100_000, dict, site=SITE)
    assert decode(b'{"a": 1}', dict, site=SITE) == {"a": 1}
