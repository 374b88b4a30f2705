from tidyllm.core.wire import Response


def test_a_response_is_ok_from_200_to_299() -> None:
    assert [status for status in (199, 200, 299, 300) if Response(status=status).ok] == [200, 299]
