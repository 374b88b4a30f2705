"""Recording exchanges, and playing them again without a network."""

import asyncio
import json
import logging
from pathlib import Path

import msgspec
import pytest

from tidyllm import LLMMessage, chat, llm_message, local, stream, using
from tidyllm.core.auth import Hidden
from tidyllm.core.errors import SettingError, TransportError
from tidyllm.core.message import AssistantTurn
from tidyllm.core.wire import Multipart, Part, Request, Response
from tidyllm.testing import ManualClock, play, record, simulated_model
from tidyllm.testing.recording import Recorder

KEY = "sk-real/one+1"
URL = "https://api.example.com/v1/chat"
SIGNED = (("authorization", f"Bearer {KEY}"),)
JSON = {"content-type": "application/json"}


class Fixed:
    """A sender that has one answer."""

    def __init__(self, body: bytes, headers: dict[str, str] = JSON, *, status: int = 200) -> None:
        self._response = Response(status=status, headers=headers, body=body)

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del headers
        if request.sink is not None and self._response.ok:
            request.sink.write_bytes(self._response.body)
            return msgspec.structs.replace(self._response, body=b"")
        return self._response


class Unreachable:
    """A sender that reaches nobody."""

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        del headers
        raise TransportError("no way there", url=request.url)


def recorded(folder: Path, request: Request, answer: Fixed, **headers: str) -> str:
    """Return the text of the file that was written for one exchange."""
    folder.mkdir()
    signed = tuple(headers.items()) or SIGNED
    asyncio.run(Recorder(answer, folder, clock=ManualClock()).send(request, signed))
    (file,) = folder.iterdir()
    return file.read_text()


def played(folder: Path, request: Request) -> Response:
    return asyncio.run(play(folder).send(request))


def untimed(talk: LLMMessage) -> LLMMessage:
    """Return a conversation without what another run tells otherwise: its time, and how JSON was laid out."""
    turns = [
        AssistantTurn(
            msgspec.structs.replace(turn.reply, seconds=None, body=msgspec.json.encode(json.loads(turn.reply.body)))
        )
        if isinstance(turn, AssistantTurn)
        else turn
        for turn in talk.turns
    ]
    return msgspec.structs.replace(talk, turns=tuple(turns))


def test_what_was_recorded_is_played_without_a_network(tmp_path: Path) -> None:
    opening = llm_message("Who was Konrad Zuse?", system="Be brief.")
    with simulated_model() as model:
        provider = local("pretender", base_url=model.base_url)
        with using(record(tmp_path / "new" / "exchanges")):
            first = chat(opening, provider)
            second = first.message("And when?").chat(provider)
    with using(play(tmp_path / "new" / "exchanges")):
        assert untimed(opening.chat(provider)) == untimed(first)
        assert untimed(first.message("And when?").chat(provider)) == untimed(second)
    names = sorted(path.name for path in (tmp_path / "new" / "exchanges").iterdir())
    assert names == ["001_post_completions.json", "002_post_completions.json"]


def test_a_stream_is_recorded_as_lines_and_played_piece_by_piece(tmp_path: Path) -> None:
    with simulated_model() as model:
        provider = local("pretender", base_url=model.base_url)
        with using(record(tmp_path)), stream("Who was Konrad Zuse?", provider) as pieces:
            said = list(pieces)
    (file,) = tmp_path.iterdir()
    lines = json.loads(file.read_text())["response"]["lines"]
    assert lines[-2:] == ["data: [DONE]", ""]
    with using(play(tmp_path)), stream("Who was Konrad Zuse?", provider) as pieces:
        assert list(pieces) == said
    assert len(said) > 1


@pytest.mark.parametrize("streamed", [False, True])
def test_a_key_that_the_server_echoes_does_not_reach_the_file(tmp_path: Path, streamed: bool) -> None:  # noqa: FBT001
    with simulated_model() as model, using(record(tmp_path)):
        provider = local("pretender", base_url=model.base_url, api_key=KEY)
        if streamed:
            with stream(f"My key is {KEY} .", provider) as pieces:
                assert KEY in "".join(pieces)
        else:
            assert KEY in chat(f"My key is {KEY} .", provider).reply()
    (file,) = tmp_path.iterdir()
    text = file.read_text()
    assert KEY not in text
    assert "My key is … ." in text


def test_an_exchange_is_written_in_the_form_that_a_person_would_write(tmp_path: Path) -> None:
    request = Request(method="POST", url=URL, headers=(("content-type", "application/json"),), body=b'{"n":1}')
    headers = JSON | {"x-request-id": "r1", "x-ratelimit-limit-requests": "9", "set-cookie": "a=b", "server": "x"}
    text = recorded(tmp_path / "a", request, Fixed(b'{"price": 1.10, "big": 123456789012345678901}', headers))
    assert json.loads(text) == {
        "source": "recorded 2026-01-01",
        "request": {"method": "POST", "url": URL, "body": {"n": 1}},
        "response": {
            "status": 200,
            "headers": {"content-type": "application/json", "x-request-id": "r1", "x-ratelimit-limit-requests": "9"},
            "body": {"price": 1.1, "big": 123456789012345678901},
        },
    }
    assert '"price": 1.10,' in text
    assert played(tmp_path / "a", request).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"message":"bad key sk-real/one+1"}',
        b'{"message":"bad key sk-real\\/one+1"}',
        b'{"message":"bad key \\u0073k-real/one+1"}',
        b'{"sk-real/one+1":["sk-real/one+1", 1, null]}',
        b'{"a":"sk-real/one+1","a":"hidden by its twin"}',
        b'["https://x/?k=sk-real%2Fone%2B1"]',
        b"{not json sk-real\\/one+1",
        b'"sk-real/one+1"',
        b"sk-real/one+1\n",
    ],
)
def test_the_key_is_found_however_it_is_spelled(tmp_path: Path, body: bytes) -> None:
    request = Request(method="GET", url=f"{URL}/{KEY}?user={KEY}", body=body)
    text = recorded(tmp_path / "a", request, Fixed(body, JSON | {"x-request-id": KEY}, status=401))
    spoken = text.replace("\\/", "/").replace("%2F", "/").replace("%2B", "+").replace("\\u0073", "s")
    assert KEY not in spoken
    assert "…" in text


def test_keys_in_a_query_and_in_headers_of_the_user_s_own_are_hidden(tmp_path: Path) -> None:
    own = (("x-passphrase", Hidden("another-secret")), ("anthropic-version", "2023-06-01"))
    request = Request(method="GET", url=f"{URL}?key=abc&sig=d%3D&page=2&flag", headers=own)
    text = recorded(tmp_path / "a", request, Fixed(b'{"said": "another-secret 2023-06-01"}'))
    assert json.loads(text)["request"] == {"method": "GET", "url": f"{URL}?key=…&sig=…&page=2&flag"}
    assert json.loads(text)["response"]["body"] == {"said": "… 2023-06-01"}
    assert played(tmp_path / "a", request).ok


def test_a_placeholder_for_a_key_leaves_words_alone(tmp_path: Path) -> None:
    request = Request(method="GET", url=URL)
    text = recorded(tmp_path / "a", request, Fixed(b'{"said": "none of it"}'), authorization="Bearer none")
    assert "none of it" in text


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'"a JSON text"', "application/json"),
        (b"null", "application/json"),
        (b"", "application/json"),
        (b'{"a": 1}\n', "application/jsonl"),
        (b'{"a": 1}\n{"a": 2}\n', "application/x-ndjson"),
        (b"event: x\r\ndata: y\r\n\r\n", "text/event-stream; charset=utf-8"),
        (b"data: cut off", "text/event-stream"),
        (b"\n", "text/plain"),
        (b"{broken", "application/json"),
    ],
)
def test_what_is_no_json_object_is_played_to_the_byte(tmp_path: Path, body: bytes, content_type: str) -> None:
    request = Request(method="GET", url=URL)
    recorded(tmp_path / "a", request, Fixed(body, {"content-type": content_type}))
    assert played(tmp_path / "a", request).body == body


def test_bodies_on_disk_are_recorded_and_forms_are_not(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_bytes(b'{"custom_id": "1"}\n')
    request = Request(method="POST", url=URL, body=lines, sink=tmp_path / "sink")
    recorded(tmp_path / "a", request, Fixed(b"result\n", {}))
    assert (tmp_path / "sink").read_bytes() == b"result\n"
    assert played(tmp_path / "a", request).ok
    form = Request(method="POST", url=f"{URL}/", body=Multipart((Part(name="n", content=b"1"),)))
    assert "body" not in json.loads(recorded(tmp_path / "b", form, Fixed(b"{}", {})))["request"]
    assert played(tmp_path / "b", form).ok


def test_numbers_go_on_where_a_folder_has_some(tmp_path: Path) -> None:
    (tmp_path / "041_get_x.json").touch()
    (tmp_path / "notes.json").touch()
    asyncio.run(Recorder(Fixed(b"{}"), tmp_path).send(Request(method="GET", url="https://h")))
    assert (tmp_path / "042_get_root.json").exists()


def test_what_is_no_text_is_answered_and_not_recorded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(Fixed(b"\xff\xfe"), tmp_path)
    with caplog.at_level(logging.WARNING, "tidyllm"):
        response = asyncio.run(recorder.send(Request(method="GET", url=f"{URL}?key=abc")))
    assert response.body == b"\xff\xfe"
    assert list(tmp_path.iterdir()) == []
    assert caplog.messages == [f"GET {URL}?key=… was not recorded: what was said is no text."]


def test_what_cannot_be_written_is_answered_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    recorder = Recorder(Fixed(b"{}"), folder)
    folder.rmdir()
    assert asyncio.run(recorder.send(Request(method="GET", url=URL))).ok
    assert "was not recorded" in caplog.text


def test_a_request_without_an_answer_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="no way"):
        asyncio.run(Recorder(Unreachable(), tmp_path).send(Request(method="GET", url=URL)))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_exchanges_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".001_get_x.json.part").touch()
    (tmp_path / ".hidden.json").touch()
    with pytest.raises(SettingError, match="holds no exchange"):
        play(tmp_path)


def test_short_keys_and_those_of_several_words_are_no_secret_word_by_word(tmp_path: Path) -> None:
    for number, key in enumerate(("ollama", "not needed")):
        with simulated_model() as model, using(record(tmp_path / str(number))):
            provider = local("pretender", base_url=model.base_url, api_key=key)
            said = chat("Is ollama needed?", provider).reply()
        with using(play(tmp_path / str(number))):
            assert chat("Is ollama needed?", provider).reply() == said


def test_two_recorders_share_a_folder(tmp_path: Path) -> None:
    with simulated_model() as model:
        provider = local("pretender", base_url=model.base_url)
        first, second = record(tmp_path), record(tmp_path)
        for recorder, text in ((first, "a"), (second, "b"), (first, "c")):
            with using(recorder):
                chat(text, provider)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"00{number}_post_completions.json" for number in (1, 2, 3)]
    with using(play(tmp_path)):
        assert [chat(text, provider).reply() for text in "abc"] == [f"Simulated answer to: {text}" for text in "abc"]
