import http.client
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.testing.asking import ask, chat, order
from tidyllm.testing import Behavior, KeyCounts, SimulatedModel, simulated_model
from tidyllm.testing.model import SIGHTINGS_MAX

TEXTS = [f"text {number}" for number in range(300)]


def test_the_openai_sdk_understands_every_answer() -> None:
    with simulated_model() as model, openai.OpenAI(base_url=model.base_url, api_key="any") as client:
        completion = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
        assert completion.choices[0].message.content == "Simulated answer to: hello"
        assert completion.system_fingerprint == "simulated"
        assert completion._request_id is not None
        embedding = client.embeddings.create(model="m", input=["a", "b"], dimensions=4)
        assert [len(one.embedding) for one in embedding.data] == [4, 4]
        assert [one.id for one in client.models.list()] == ["simulated"]
        with pytest.raises(openai.BadRequestError) as refused:
            client.embeddings.create(model="m", input="")
        assert refused.value.param == "input"


def test_the_same_request_has_the_same_answer_on_another_day() -> None:
    with simulated_model() as model:
        first = chat(model, "a")
    with simulated_model() as model:
        second, repeated, other = chat(model, "a"), chat(model, "a"), chat(model, "b")
    assert first == second
    assert repeated.body == first.body
    assert other.body != first.body
    assert first.headers["x-simulated"] == "true"
    assert len({reply.headers["x-request-id"] for reply in (first, repeated, other)}) == 3


def test_the_seed_is_part_of_the_answer() -> None:
    with simulated_model() as model, simulated_model(Behavior(seed=5)) as other:
        assert chat(model, "a").json()["id"] != chat(other, "a").json()["id"]


def test_faults_meet_the_same_requests_in_whatever_order_they_come() -> None:
    behavior = Behavior(error_rate=0.2, rate_limit_rate=0.2, broken_rate=0.1)
    statuses = []
    for texts in (TEXTS, TEXTS[::-1]):
        with simulated_model(behavior) as model:
            statuses.append({text: _status(model, text) for text in texts})
    assert statuses[0] == statuses[1]
    assert set(statuses[0].values()) == {"200", "500", "429", "cut", "no JSON"}


def _status(model: SimulatedModel, text: str) -> str:
    try:
        reply = chat(model, text)
    except http.client.IncompleteRead:
        return "cut"
    if reply.status == 200 and reply.headers["content-type"] == "text/html":
        return "no JSON"
    return str(reply.status)


def test_every_request_is_answered_after_enough_retries() -> None:
    with simulated_model(Behavior(error_rate=0.5)) as model:
        for text in TEXTS[:20]:
            assert any(chat(model, text).status == 200 for _ in range(100))
        assert all(counts.ok == 1 for counts in model.witness.keys().values())
        assert model.witness.counts().statuses[500] > 5


def test_an_error_is_told_in_openai_s_shape() -> None:
    with simulated_model(Behavior(error_rate=1)) as model:
        reply = chat(model, "a")
    assert reply.status == 500
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert reply.json()["error"]["type"] == "server_error"


def test_a_rate_limit_says_when_to_come_back_and_keeps_nobody_waiting() -> None:
    with simulated_model(Behavior(rate_limit_rate=1, retry_after_s=0.25, latency_ms=3_600_000)) as model:
        reply = chat(model, "a")
    assert reply.status == 429
    assert reply.headers["retry-after"] == "0.25"
    assert reply.json()["error"]["code"] == "rate_limit_exceeded"


def test_a_burst_refuses_whatever_comes_next() -> None:
    with simulated_model(Behavior(rate_limit_rate=0.02, rate_limit_burst=10)) as model:
        statuses = [chat(model, text).status for text in TEXTS]
    bursts = "".join("x" if status == 429 else " " for status in statuses).split()
    assert bursts
    assert all(len(burst) % 10 == 0 for burst in bursts[:-1])


def test_a_request_that_hangs_is_never_answered() -> None:
    with simulated_model(Behavior(hang_rate=1)) as model:
        thread = threading.Thread(target=_give_up, args=(model,))
        thread.start()
        model.witness.wait(received=1)
        assert ask(model, "/v1/models").status == 200
        assert order(model, "release")["in_flight"] == 1
    thread.join(10)
    assert model.witness.counts().abandoned == 1


def _give_up(model: SimulatedModel) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        chat(model, "a")


def test_a_cut_answer_announces_more_than_it_sends() -> None:
    with simulated_model(Behavior(broken_rate=1)) as model:
        seen = Counter(_status(model, text) for text in TEXTS[:60])
        counts = model.witness.counts()
    assert set(seen) == {"cut", "no JSON"}
    assert counts.broken == counts.answered == 60
    assert {entry.ok for entry in model.witness.keys().values()} == {0}


def test_an_answer_takes_its_latency() -> None:
    with simulated_model(Behavior(latency_ms=30)) as model:
        begun = time.monotonic()
        chat(model, "a")
        assert time.monotonic() - begun >= 0.03


def test_the_witness_counts_by_text() -> None:
    with simulated_model() as model:
        for text in ("a", "b", "a"):
            chat(model, text)
        ask(model, "/v1/embeddings", {"model": "m", "input": ["e"]})
        chat(model, "long " * 100)
        ask(model, "/v1/chat/completions", b"no JSON")
        ask(model, "/v1/models")
        told = ask(model, "/simulated/counts?keys=1").json()
    assert model.witness.keys()["a"] == KeyCounts(received=2, answered=2, ok=2)
    assert list(told["keys"])[:3] == ["a", "b", "e"]
    assert told["keys"]["b"] == {"received": 1, "answered": 1, "ok": 1}
    assert told["statuses"] == {"200": 5, "400": 1}
    assert (told["received"], told["answered"], told["unkeyed"], told["in_flight"]) == (6, 6, 1, 0)


def test_a_reset_forgets_what_was_served_and_what_was_seen() -> None:
    with simulated_model() as model:
        first = chat(model, "a")
        assert order(model, "reset")["received"] == 0
        assert chat(model, "a") == first
        model.reset()
        assert "keys" not in ask(model, "/simulated/counts").json()
        assert model.witness.keys() == {}


def test_held_requests_are_counted_and_answered_on_release() -> None:
    with simulated_model(Behavior(latency_ms=1)) as model, ThreadPoolExecutor(20) as pool:
        assert order(model, "hold")["received"] == 0
        replies = [pool.submit(chat, model, text) for text in TEXTS[:20]]
        waited = ask(model, "/simulated/wait?received=20").json()
        assert (waited["received"], waited["answered"], waited["in_flight"]) == (20, 0, 20)
        assert order(model, "hold")["in_flight_peak"] == 20
        order(model, "release")
        assert {reply.result().status for reply in replies} == {200}
        assert model.witness.wait(answered=20).in_flight == 0
        order(model, "release")


def test_holding_takes_effect_at_once_from_any_thread() -> None:
    with simulated_model() as model, ThreadPoolExecutor(1) as pool:
        model.hold()
        reply = pool.submit(chat, model, "a")
        model.witness.wait(received=1)
        assert model.witness.counts().answered == 0
        model.release()
        assert reply.result().status == 200


def test_waiting_over_http_ends_when_so_many_were_answered() -> None:
    with simulated_model() as model, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, model, "/simulated/wait?answered=2&received=1")
        chat(model, "a")
        chat(model, "b")
        assert waiting.result().json()["answered"] >= 2
        assert ask(model, "/simulated/wait").json()["answered"] == 2


def test_a_client_that_stops_waiting_is_forgotten() -> None:
    wait = b"GET /simulated/wait?received=1000 HTTP/1.1\r\n\r\n"
    refused = b"POST /v1/embeddings HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
    with simulated_model() as model:
        host, _, port = model.root.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(wait + refused)
            model.witness.wait(received=1)
            assert len(model.witness._waiters) == 1
    assert not model.witness._waiters


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("POST", "/v1/x", 404),
        ("GET", "/", 404),
        ("GET", "/simulated/wait?received=many", 400),
    ],
)
def test_other_requests_are_refused_in_openai_s_shape(method: str, path: str, status: int) -> None:
    with simulated_model() as model:
        reply = ask(model, path, method=method)
    assert reply.status == status
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert reply.headers["x-request-id"].startswith("req_")
    assert model.witness.counts().received == 0


def test_more_bodies_than_can_be_remembered_are_seen_anew() -> None:
    with simulated_model() as model:
        first = chat(model, "a")
        model._sightings.update({number.to_bytes(4, "little"): 1 for number in range(SIGHTINGS_MAX)})
        assert chat(model, "a") == first
