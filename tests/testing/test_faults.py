import http.client
import json
import re
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.testing.asking import ask, chat, dial, head, question
from tidyllm.testing import Behavior, SimulatedModel, simulated_model
from tidyllm.testing.behavior import HUGE_BYTES_MIN
from tidyllm.testing.faults import PIECE_BYTES, Padded, packed

MIB = 1024 * 1024
TEXTS = [f"text {number}" for number in range(300)]


def outcome(model: SimulatedModel, text: str) -> str:
    """Return in a word how a request went."""
    try:
        reply = chat(model, text)
    except http.client.IncompleteRead:
        return "cut"
    except ConnectionResetError:
        return "reset"
    kind = reply.headers["content-type"]
    if reply.status != 200:
        return str(reply.status)
    if reply.headers.get("content-encoding") == "gzip":
        return "bomb"
    if b'"padding"' in reply.body:
        return "huge"
    return f"{kind} {len(reply.body.splitlines()) > 1}"


def test_a_reset_connection_ends_before_any_byte_of_an_answer() -> None:
    with simulated_model(Behavior(reset_rate=1)) as model:
        with pytest.raises(ConnectionResetError):
            chat(model, "a")
        assert ask(model, "/v1/models").status == 200
    counts = model.witness.counts()
    assert (counts.received, counts.answered, counts.abandoned, counts.in_flight) == (1, 0, 1, 0)


def test_a_reset_takes_with_it_what_waits_on_the_same_connection() -> None:
    with simulated_model(Behavior(reset_rate=1)) as model, dial(model) as connection:
        model.hold()
        connection.sendall(question("a") + question("b"))
        model.witness.wait(received=2)
        model.release()
        with pytest.raises(ConnectionResetError):
            connection.recv(100)
    assert model.witness.counts().abandoned == 2


def test_a_cut_body_is_shorter_than_announced() -> None:
    with simulated_model(Behavior(cut_rate=1)) as model:
        with pytest.raises(http.client.IncompleteRead) as cut:
            chat(model, "a")
        counts = model.witness.counts()
    assert cut.value.partial.startswith(b'{"id":"chatcmpl-')
    assert (counts.broken, counts.statuses) == (1, {200: 1})
    assert model.witness.keys()["a"].ok == 0


def test_a_pretty_answer_says_the_same_on_many_lines() -> None:
    with simulated_model() as plain, simulated_model(Behavior(pretty_rate=1)) as pretty:
        reply = chat(pretty, "a")
        assert reply.json() == chat(plain, "a").json()
        assert pretty.witness.keys()["a"].ok == 1
        stream = {"model": "m", "messages": [{"role": "user", "content": "a"}], "stream": True}
        events = ask(pretty, "/v1/chat/completions", stream).body
        assert events.replace(b"\r\n", b"\n") == ask(plain, "/v1/chat/completions", stream).body
    assert reply.body.startswith(b'{\r\n  "id": ')
    assert reply.body.count(b"\n") == reply.body.count(b"\r\n") > 10
    assert events.endswith(b"data: [DONE]\r\n\r\n")


def test_an_answer_of_the_wrong_type_is_good_but_for_that() -> None:
    with simulated_model() as plain, simulated_model(Behavior(wrong_type_rate=1)) as wrong:
        reply = chat(wrong, "a")
        assert reply.body == chat(plain, "a").body
        assert wrong.witness.keys()["a"].ok == 1
    assert reply.headers["content-type"] == "text/plain"


def test_a_huge_answer_is_json_of_that_size_announced_or_in_chunks() -> None:
    size = 3 * MIB + 17
    with simulated_model(Behavior(huge_rate=1, huge_bytes=size)) as model:
        replies = [chat(model, text) for text in TEXTS[:10]]
        counts = model.witness.counts()
    assert {reply.status for reply in replies} == {200}
    assert {len(reply.body) for reply in replies} == {size}
    assert {reply.headers.get("content-length") for reply in replies} == {str(size), None}
    assert {reply.headers.get("transfer-encoding") for reply in replies} == {"chunked", None}
    assert all(reply.json()["object"] == "chat.completion" for reply in replies)
    assert (counts.broken, counts.answered) == (10, 10)


def test_a_client_that_closes_afterwards_sees_the_end_of_a_huge_answer() -> None:
    with simulated_model(Behavior(huge_rate=1, huge_bytes=100_000)) as model:
        for text in TEXTS[:10]:
            with dial(model) as connection:
                connection.sendall(question(text, "connection: close"))
                received = connection.makefile("rb").read()
            start, _, body = received.partition(b"\r\n\r\n")
            assert len(body) == 100_000
            assert b"transfer-encoding" not in start


def test_a_huge_answer_waits_for_a_client_that_does_not_read_and_holds_up_nobody() -> None:
    size = 64 * MIB  # More than the system keeps for a connection.
    with simulated_model(Behavior(huge_rate=1, huge_bytes=size)) as model, dial(model) as connection:
        connection.sendall(question("a") + head("GET /v1/models HTTP/1.1", "connection: close"))
        model.witness.wait(answered=1)
        assert ask(model, "/v1/models").status == 200
        received = connection.makefile("rb").read()
    assert received.count(b"x") >= size - 1000
    assert received.endswith(b'"owned_by":"tidyllm"}]}')


def test_whoever_hangs_up_in_a_huge_answer_ends_it() -> None:
    with simulated_model(Behavior(huge_rate=1)) as model:
        with dial(model) as connection:
            connection.sendall(question("a"))
            assert connection.recv(100)
        assert ask(model, "/v1/models").status == 200
    assert model.witness.counts().broken == 1


@pytest.mark.parametrize("size", [HUGE_BYTES_MIN, PIECE_BYTES, PIECE_BYTES + 41, 3 * PIECE_BYTES + 7])
def test_padding_has_the_size_that_was_asked_for_and_small_pieces(size: int) -> None:
    pieces = list(Padded(size))
    assert sum(map(len, pieces)) == size
    assert max(map(len, pieces)) <= PIECE_BYTES + HUGE_BYTES_MIN
    assert set(json.loads(b"".join(pieces))) == {"object", "padding"}


def test_a_bomb_is_small_until_it_is_unpacked() -> None:
    with simulated_model(Behavior(bomb_rate=1)) as model:
        reply = chat(model, "a")
        counts = model.witness.counts()
    assert reply.headers["content-encoding"] == "gzip"
    assert len(reply.body) == int(reply.headers["content-length"]) < 200_000
    unpacker = zlib.decompressobj(wbits=31)
    assert unpacker.decompress(reply.body, 100).startswith(b'{"object":"chat.completion"')
    assert len(unpacker.decompress(unpacker.unconsumed_tail)) == 100 * MIB - 100
    assert (counts.broken, counts.statuses) == (1, {200: 1})


def test_what_is_packed_is_whole_json() -> None:
    unpacked = zlib.decompress(packed(100_000), wbits=31)
    assert len(unpacked) == 100_000
    assert json.loads(unpacked)["object"] == "chat.completion"


def test_a_bad_request_and_a_redirect_keep_nobody_waiting() -> None:
    with simulated_model(Behavior(bad_request_rate=1, latency_ms=3_600_000)) as model:
        refused = chat(model, "a")
    with simulated_model(Behavior(redirect_rate=1, latency_ms=3_600_000)) as model:
        moved = chat(model, "a")
        assert ask(model, moved.headers["location"], {}).status == 404
        assert model.witness.counts().statuses == {307: 1}
    assert (refused.status, refused.json()["error"]["type"]) == (400, "invalid_request_error")
    assert (moved.status, moved.headers["location"]) == (307, "/moved/v1/chat/completions")


def test_a_dripping_answer_comes_in_pieces_and_nothing_else_meanwhile() -> None:
    with simulated_model(Behavior(drip_rate=1, drip_s=0.1)) as model, dial(model) as connection:
        begun = time.monotonic()
        connection.sendall(question("first") + question("second", "connection: close"))
        pieces = []
        while piece := connection.recv(MIB):
            pieces.append(piece)
        taken_s = time.monotonic() - begun
        assert {counts.ok for counts in model.witness.keys().values()} == {1}
    assert taken_s >= 0.15
    assert len(pieces) > 4  # Several may have arrived by the time one looks.
    assert re.findall(rb"answer to: (\w+)", b"".join(pieces)) == [b"first", b"second"]


ALL = Behavior(
    error_rate=0.05,
    rate_limit_rate=0.05,
    broken_rate=0.05,
    reset_rate=0.07,
    cut_rate=0.07,
    pretty_rate=0.07,
    wrong_type_rate=0.07,
    huge_rate=0.07,
    bomb_rate=0.07,
    bad_request_rate=0.07,
    redirect_rate=0.07,
    drip_rate=0.07,
    huge_bytes=10_000,
    drip_s=0.01,
)


def test_all_faults_meet_the_same_requests_in_whatever_order_they_come() -> None:
    outcomes = []
    for texts in (TEXTS, TEXTS[::-1]):
        with simulated_model(ALL) as model, ThreadPoolExecutor(8) as pool:
            outcomes.append(dict(zip(texts, pool.map(lambda text: outcome(model, text), texts), strict=True)))
    assert outcomes[0] == outcomes[1]
    assert set(outcomes[0].values()) == {
        "cut",
        "reset",
        "bomb",
        "huge",
        "307",
        "400",
        "429",
        "500",
        "application/json False",
        "application/json True",
        "text/plain False",
        "text/html False",
    }


def test_the_counts_add_up_whatever_happens() -> None:
    with simulated_model(ALL) as model, ThreadPoolExecutor(8) as pool:
        model.set_capacity(2)
        seen = list(pool.map(lambda text: outcome(model, text), TEXTS))
    counts = model.witness.counts()
    assert counts.received == 300
    assert (counts.abandoned, counts.in_flight) == (seen.count("reset"), 0)
    assert counts.answered == 300 - counts.abandoned
    assert counts.broken == sum(seen.count(word) for word in ("cut", "huge", "bomb", "text/html False"))
    assert counts.working_peak <= 2


def test_a_model_that_declines_says_why_in_place_of_a_text() -> None:
    with simulated_model(Behavior(decline_rate=1)) as model:
        (choice,) = json.loads(chat(model, "a").body)["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "stop")
    assert choice["message"]["refusal"]


def test_a_truncated_answer_ends_in_the_middle_and_says_so() -> None:
    with simulated_model() as model:
        (whole,) = json.loads(chat(model, "a").body)["choices"]
    with simulated_model(Behavior(truncate_rate=1)) as model:
        (choice,) = json.loads(chat(model, "a").body)["choices"]
    assert choice["finish_reason"] == "length"
    text = choice["message"]["content"]
    assert whole["message"]["content"].startswith(text)
    assert 0 < len(text) < len(whole["message"]["content"])


def test_only_chat_completions_are_declined() -> None:
    with simulated_model(Behavior(decline_rate=1)) as model:
        body = {"model": "m", "input": "a"}
        assert json.loads(ask(model, "/v1/embeddings", json.dumps(body).encode()).body)["data"]
