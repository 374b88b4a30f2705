import itertools
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.testing.asking import Reply, ask, chat
from tidyllm.core.rate_limit import read_rate_limit
from tidyllm.testing import Behavior, simulated_model


def test_a_limit_per_minute_refuses_what_is_beyond_and_says_when_there_is_room_again() -> None:
    with simulated_model(Behavior(requests_per_minute=3)) as model:
        replies = [chat(model, str(number)) for number in range(5)]
        model.reset()
        assert chat(model, "after a reset").status == 200
    assert [reply.status for reply in replies] == [200, 200, 200, 429, 429]
    assert 15 < float(replies[3].headers["retry-after"]) <= 20
    assert replies[3].json()["error"]["code"] == "rate_limit_exceeded"
    assert [_remaining(reply) for reply in replies] == [2, 1, 0, 0, 0]


def _remaining(reply: Reply) -> int | None:
    told = read_rate_limit(reply.headers, now=0.0)
    assert told is not None
    assert told.requests_limit == 3
    assert told.requests_reset_s is not None
    assert 10 < told.requests_reset_s <= 60
    return told.requests_remaining


def test_every_answer_tells_of_the_limit_if_there_is_one() -> None:
    behavior = Behavior(requests_per_minute=100, error_rate=1, models=("m",))
    with simulated_model(behavior) as model, simulated_model() as unlimited:
        replies = [
            chat(model, "a", name="m"),
            chat(model, "a", name="x"),
            ask(model, "/v1/chat/completions", b"no JSON"),
            ask(model, "/v1/models"),
        ]
        assert "x-ratelimit-limit-requests" not in chat(unlimited, "a").headers
    assert [reply.status for reply in replies] == [500, 404, 400, 200]
    assert {reply.headers["x-ratelimit-limit-requests"] for reply in replies} == {"100"}
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies] == ["99", "98", "97", "97"]


def test_a_held_answer_tells_of_the_limit_as_it_is_when_it_goes_out() -> None:
    with simulated_model(Behavior(requests_per_minute=3)) as model, ThreadPoolExecutor(2) as pool:
        model.hold()
        replies = [pool.submit(chat, model, text) for text in ("a", "b")]
        model.witness.wait(received=2)
        model.release()
        assert [_remaining(reply.result()) for reply in replies] == [1, 1]


def test_in_an_outage_everything_is_answered_with_503() -> None:
    with simulated_model(Behavior(outage_after=2, outage_s=3600)) as model:
        assert ask(model, "/v1/models").status == 200
        replies = [chat(model, "a") for _ in range(3)]
        replies.append(ask(model, "/v1/chat/completions", b"no JSON"))
        assert ask(model, "/v1/models").status == 503
        counts = model.witness.counts()
        model.reset()
        assert [chat(model, "a").status for _ in range(2)] == [200, 503]
    assert [reply.status for reply in replies] == [200, 503, 503, 503]
    assert "retry-after" not in replies[1].headers
    assert replies[1].json()["error"]["type"] == "server_error"
    assert (counts.received, counts.answered, counts.statuses) == (4, 4, {200: 1, 503: 3})


def test_an_outage_ends() -> None:
    with simulated_model(Behavior(outage_after=1, outage_s=0.05)) as model:
        assert chat(model, "a").status == 503
        assert any(chat(model, "a").status == 200 for _ in itertools.count())
        assert chat(model, "a").status == 200


def test_without_the_key_nobody_is_let_in() -> None:
    with simulated_model(Behavior(key="sk-right")) as model:
        replies = [chat(model, "a"), chat(model, "a", key="sk-wrong"), ask(model, "/v1/models")]
        assert chat(model, "a", key="sk-right").status == 200
        assert ask(model, "/v1/models", key="sk-right").status == 200
        assert ask(model, "/simulated/counts").json()["statuses"] == {"401": 2, "200": 1}
    assert {reply.status for reply in replies} == {401}
    assert {reply.json()["error"]["code"] for reply in replies} == {"invalid_api_key"}
    assert not any(b"sk-" in reply.body for reply in replies)


def test_other_models_are_not_there() -> None:
    with simulated_model(Behavior(models=("large", "small"))) as model:
        assert chat(model, "a", name="small").status == 200
        reply = chat(model, "a", name="middle")
        assert [one["id"] for one in ask(model, "/v1/models").json()["data"]] == ["large", "small"]
    assert reply.status == 404
    assert reply.json()["error"]["code"] == "model_not_found"
    assert "middle" in reply.json()["error"]["message"]


def test_the_openai_sdk_understands_every_refusal() -> None:
    behavior = Behavior(key="sk-right", models=("m",), requests_per_minute=2)
    with (
        simulated_model(behavior) as model,
        openai.OpenAI(base_url=model.base_url, api_key="sk-wrong", max_retries=0) as stranger,
        openai.OpenAI(base_url=model.base_url, api_key="sk-right", max_retries=0) as client,
    ):
        with pytest.raises(openai.AuthenticationError):
            stranger.embeddings.create(model="m", input="a")
        with pytest.raises(openai.NotFoundError) as missing:
            client.embeddings.create(model="x", input="a")
        client.embeddings.create(model="m", input="a")
        with pytest.raises(openai.RateLimitError):
            client.embeddings.create(model="m", input="a")
    assert missing.value.code == "model_not_found"
