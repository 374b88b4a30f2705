"""How the verbs reach the network, and what is put in its place."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.client.fake_api import FakeApi
from tidyllm import chat, list_batches, openai, using
from tidyllm.client.calls import transport_for
from tidyllm.core.errors import MissingKeyError, SettingError
from tidyllm.transport.background import BACKGROUND
from tidyllm.transport.drive import Transport
from tidyllm.transport.keys import Keys


def sent_keys(api: FakeApi) -> list[str]:
    return [dict(headers)["authorization"] for headers in api.headers]


def test_the_process_has_one_client() -> None:
    assert transport_for(openai()).sender is BACKGROUND


def test_a_bare_sender_gets_no_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    api = FakeApi()
    with using(api):
        list_batches(openai())
    assert sent_keys(api) == ["Bearer no-key"]


def test_a_key_that_was_given_is_used() -> None:
    api = FakeApi()
    with using(api):
        list_batches(openai(api_key="given"))
        list_batches(openai(api_key=lambda: "fresh"))
    assert sent_keys(api) == ["Bearer given", "Bearer fresh"]


def test_a_missing_key_is_an_error_and_nothing_is_sent() -> None:
    api = FakeApi()
    with (
        using(Transport(sender=api, keys=Keys(environment={}))),
        pytest.raises(MissingKeyError, match="OPENAI_API_KEY"),
    ):
        list_batches(openai())
    assert api.asked == []


def test_headers_of_the_model_go_out_with_every_request() -> None:
    api = FakeApi()
    with using(api):
        list_batches(openai(headers={"OpenAI-Project": "p"}))
    assert ("OpenAI-Project", "p") in api.headers[0]


def test_what_is_put_in_place_ends_with_its_block_and_is_not_seen_by_others() -> None:
    api, other = FakeApi(), FakeApi()

    async def use(sender: FakeApi) -> object:
        with using(sender):
            await asyncio.sleep(0)
            return transport_for(openai()).sender

    async def both() -> list[object]:
        return list(await asyncio.gather(use(api), use(other)))

    assert asyncio.run(both()) == [api, other]
    assert transport_for(openai()).sender is BACKGROUND


def test_what_is_put_in_place_holds_in_threads_too() -> None:
    api = FakeApi()
    with using(api), ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda _: transport_for(openai()).sender, range(4))) == [api] * 4
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(lambda: transport_for(openai()).sender).result() is BACKGROUND


def test_what_cannot_send_is_not_put_in_place() -> None:
    with pytest.raises(SettingError, match="using takes a sender"), using(None):  # type: ignore[arg-type]
        pytest.fail("it was taken")


def test_a_header_of_the_user_s_own_is_the_only_one_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    api = FakeApi()
    provider = openai(headers={"Authorization": "Bearer mine"})
    with using(Transport(sender=api)):
        list_batches(provider)
    names = [name.lower() for name, _ in api.headers[0]]
    assert (names.count("authorization"), dict(api.headers[0])["Authorization"]) == (1, "Bearer mine")
    shown = chat("Hi", openai(headers={"Authorization": "Bearer mine", "Content-Type": "text/x"}), dry_run=True)
    assert shown.headers == (("Authorization", "…"), ("Content-Type", "…"))
    assert "mine" not in repr(provider.site)
