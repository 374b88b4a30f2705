import copy
import pickle
import re

import pytest

from tidyllm.core import errors


def test_the_drawing_of_the_tree_names_every_class_under_its_parent() -> None:
    stack: list[str] = []
    drawn: dict[str, str | None] = {}
    for indent, name in re.findall(r"^( *)\* (\w+)", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 2
        stack[depth:] = [name]
        drawn[name] = stack[depth - 1] if depth else None
    real = {
        name: None if one is errors.TidyllmError else one.__bases__[0].__name__
        for name, one in vars(errors).items()
        if isinstance(one, type) and issubclass(one, Exception)
    }
    assert drawn == real


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, errors.BadRequestError),
        (401, errors.AuthError),
        (403, errors.PermissionDeniedError),
        (404, errors.NotFoundError),
        (408, errors.ServerError),
        (409, errors.ConflictError),
        (413, errors.BadRequestError),
        (418, errors.ApiError),
        (422, errors.BadRequestError),
        (429, errors.RateLimitError),
        (500, errors.ServerError),
        (529, errors.ServerError),
    ],
)
def test_each_status_has_its_class(status: int, expected: type[errors.ApiError]) -> None:
    assert errors.error_class(status) is expected


def test_errors_carry_their_facts() -> None:
    api = errors.RateLimitError("slow down", status=429, provider="openai", code="rate_limit", retry_after_s=2.0)
    assert (api.status, api.provider, api.code, api.retry_after_s, api.body) == (429, "openai", "rate_limit", 2.0, b"")
    assert errors.ConnectError("refused", url="http://x").url == "http://x"
    assert errors.BadAnswerError("what", body=b"?").body == b"?"
    assert errors.JobChangedError("other", name="job", differences={"model": "a, not b"}).differences["model"]
    assert errors.NotDoneError("wait", name="job", status="in_progress").status == "in_progress"


def test_errors_travel_between_processes_with_their_facts() -> None:
    api = errors.RateLimitError("slow down", status=429, provider="openai", retry_after_s=2.0, body=b"{}")
    cut = errors.StreamCutError("cut", url="http://x", text="Hel")
    partly = errors.PartlyFailedError("one of two", results=(1, api))
    for error in (api, cut, partly, errors.BadAnswerError("what", body=b"?"), errors.SettingError("no")):
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own
            assert type(again) is type(error)
            assert str(again) == str(error)
            assert again.__dict__.keys() == error.__dict__.keys()
    assert pickle.loads(pickle.dumps(api)).retry_after_s == 2.0  # noqa: S301 - our own
