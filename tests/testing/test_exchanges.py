import asyncio
import json
from pathlib import Path

import pytest

from tidyllm.core.errors import SettingError
from tidyllm.core.wire import Multipart, Part, Request, Response
from tidyllm.testing import Player, play

URL = "https://api.example.com/v1/batches"


def write(path: Path, *, url: str = URL, method: str = "GET", answer: object = None, **request: object) -> Path:
    exchange = {
        "source": "written for this test",
        "request": {"method": method, "url": url, **request},
        "response": {"status": 200, "headers": {"X-Request-Id": "r1"}, "body": answer},
    }
    path.write_text(json.dumps(exchange, indent=1))
    return path


def send(player: Player, method: str, url: str, body: bytes | Path | Multipart | None = None) -> Response:
    return asyncio.run(player.send(Request(method=method, url=url, body=body), (("authorization", "Bearer x"),)))


def test_the_recorded_answer_is_played_with_lower_case_headers(tmp_path: Path) -> None:
    player = play(write(tmp_path / "a.json", answer={"data": [1, 2]}))
    response = send(player, "GET", URL)
    assert response.status == 200
    assert response.headers == {"x-request-id": "r1"}
    assert json.loads(response.body) == {"data": [1, 2]}
    assert [request.url for request in player.sent] == [URL]


def test_one_exchange_is_played_as_often_as_it_is_asked_for(tmp_path: Path) -> None:
    player = play(str(write(tmp_path / "a.json", answer={"n": 1})))
    assert [json.loads(send(player, "GET", URL).body) for _ in range(3)] == [{"n": 1}] * 3


def test_several_that_fit_are_played_in_order_and_the_last_again_and_again(tmp_path: Path) -> None:
    player = play(*[write(tmp_path / f"{word}.json", answer=word) for word in ("validating", "running", "done")])
    assert [send(player, "GET", URL).body for _ in range(5)] == [b"validating", b"running", b"done", b"done", b"done"]


def test_the_order_of_the_query_does_not_matter(tmp_path: Path) -> None:
    player = play(write(tmp_path / "a.json", url=f"{URL}?limit=2&after=b", answer="page"))
    assert send(player, "GET", f"{URL}?after=b&limit=2").body == b"page"


def test_a_body_without_content_is_empty(tmp_path: Path) -> None:
    assert send(play(write(tmp_path / "a.json")), "GET", URL).body == b""


def test_a_stated_json_body_is_compared_as_json(tmp_path: Path) -> None:
    player = play(
        write(tmp_path / "a.json", method="POST", body={"n": 1, "m": [2]}, answer="first"),
        write(tmp_path / "b.json", method="POST", body={"n": 2}, answer="second"),
    )
    assert send(player, "POST", URL, b'{"m":[2],"n":1}').body == b"first"
    file = tmp_path / "body"
    file.write_bytes(b'{"n": 2}')
    assert send(player, "POST", URL, file).body == b"second"


@pytest.mark.parametrize("body", [None, b"", b"not json", b'{"n": 3}', Multipart((Part(name="n", content=b"1"),))])
def test_another_body_does_not_fit(tmp_path: Path, body: bytes | Multipart | None) -> None:
    player = play(write(tmp_path / "a.json", method="POST", body={"n": 1}))
    with pytest.raises(SettingError, match="No exchange fits"):
        send(player, "POST", URL, body)


def test_a_stated_text_is_compared_as_text(tmp_path: Path) -> None:
    player = play(write(tmp_path / "a.json", method="POST", body="plain", answer="yes"))
    assert send(player, "POST", URL, b"plain").body == b"yes"


def test_a_multipart_fits_where_no_body_is_stated(tmp_path: Path) -> None:
    player = play(write(tmp_path / "a.json", method="POST", answer="yes"))
    assert send(player, "POST", URL, Multipart((Part(name="n", content=b"1"),))).body == b"yes"


def test_a_request_that_nothing_fits_is_told_what_there_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", method="POST", body={"n": 1})
    player = play(path)
    with pytest.raises(SettingError) as error:
        send(player, "DELETE", f"{URL}/b1", b"the body")
    told = str(error.value)
    assert f"DELETE {URL}/b1 with the body" in told
    assert f"{path}: POST {URL} with" in told
    assert len(player.sent) == 1


def test_a_good_answer_goes_into_the_sink(tmp_path: Path) -> None:
    player = play(write(tmp_path / "a.json", answer="line 1\nline 2\n"))
    request = Request(method="GET", url=URL, sink=tmp_path / "out")
    response = asyncio.run(player.send(request))
    assert response.body == b""
    assert (tmp_path / "out").read_text() == "line 1\nline 2\n"


def test_an_error_answer_does_not_go_into_the_sink(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", answer="no such file")
    path.write_text(path.read_text().replace('"status": 200', '"status": 404'))
    response = asyncio.run(play(path).send(Request(method="GET", url=URL, sink=tmp_path / "out")))
    assert (response.status, response.body) == (404, b"no such file")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "{}", '{"source":"s","request":{},"response":{"status":200},"extra":1}'])
def test_a_file_that_is_no_exchange_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(SettingError, match=r"bad\.json"):
        play(tmp_path / "bad.json")


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"none\.json"):
        play(tmp_path / "none.json")
