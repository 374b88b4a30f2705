"""A call of one request, played."""

import json

import pytest

from tidyllm.core.wire import Call, Request, Response, T


def played(call: Call[T], answer: object, *, status: int = 200) -> tuple[Request, T]:
    """Return the request that a call makes, and what the call comes to when that is answered so."""
    request = next(call)
    assert isinstance(request, Request)
    with pytest.raises(StopIteration) as end:
        call.send(Response(status=status, body=json.dumps(answer).encode()))
    result: T = end.value.value
    return request, result
