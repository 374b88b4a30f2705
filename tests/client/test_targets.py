"""Which batches a verb is about."""

from collections.abc import Callable

import pytest

from tests.client.fake_api import FakeApi
from tidyllm import (
    cancel_batch,
    check_batch,
    delete_batch,
    fetch_batch,
    list_batches,
    openai,
    retry_batch,
    send_batch,
    wait_batch,
)
from tidyllm.client.targets import find_target
from tidyllm.core.errors import SettingError


def test_a_job_is_found_wherever_the_program_has_moved(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    job = send_batch(["a"], openai("m", api_key="given", api="chat_completions"), name="reviews")
    monkeypatch.setenv("TIDYLLM_HOME", str(job.folder.parent / "elsewhere"))
    target = find_target(job, None)
    assert target.model == job.model
    assert target.batch_ids == tuple(api.batches)


def test_a_provider_that_is_named_is_the_one_asked(api: FakeApi) -> None:
    send_batch(["a"], openai("m", api="chat_completions"), name="reviews")
    target = find_target("reviews", openai("m", api_key="other"))
    assert target.model.key is not None
    assert target.name == "reviews"
    assert find_target(next(iter(api.batches)), openai()).name == "reviews"


def test_a_batch_of_elsewhere_has_no_folder(api: FakeApi) -> None:
    target = find_target("batch_x", "openai")
    assert (target.folder, target.batch_ids) == (None, ("batch_x",))
    assert api.asked == []


def test_a_job_stays_where_it_was_sent_unless_another_address_is_meant(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Else a wait that finishes what was not sent would look for its batch elsewhere, and create another.
    send_batch(["a"], openai("m", api="chat_completions", base_url="https://eu.example/v1"), name="reviews")
    assert find_target("reviews", "openai").model.base_url == "https://eu.example/v1"
    moved = openai(base_url="https://us.example/v1", api_key="k")
    assert find_target("reviews", moved).model.base_url == "https://us.example/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "https://env.example/v1")
    assert find_target("reviews", "openai").model.base_url == "https://eu.example/v1"
    assert len(api.batches) == 1


@pytest.mark.parametrize("verb", [fetch_batch, check_batch, cancel_batch, wait_batch, retry_batch, delete_batch])
@pytest.mark.parametrize("given", [12, None, b"reviews", ["reviews"], openai()], ids=repr)
def test_what_is_no_job_is_told_from_one(api: FakeApi, verb: Callable[..., object], given: object) -> None:
    for provider in ((), (openai(),)):
        with pytest.raises(SettingError, match=r"what send_batch returned, its name, or .* id of a batch; not "):
            verb(given, *provider)
    assert api.asked == []


def test_a_dry_run_is_no_job(api: FakeApi) -> None:
    plan = send_batch(["a"], openai("m", api="chat_completions"), dry_run=True)
    with pytest.raises(SettingError, match="not Plan"):
        fetch_batch(plan)  # type: ignore[call-overload]
    assert api.asked == []


@pytest.mark.parametrize("word", ["", " ", "reviews ", "batch 1", "reviews\n"])
def test_a_word_that_is_no_name_and_no_id_asks_nobody(api: FakeApi, word: str) -> None:
    for provider in (None, openai()):
        with pytest.raises(SettingError, match="no job's name and no batch's id: these are not empty"):
            fetch_batch(word, provider)
    assert api.asked == []


def test_what_is_no_provider_is_told_from_one(api: FakeApi) -> None:
    with pytest.raises(SettingError, match="A provider is wanted"):
        fetch_batch("reviews", 12)  # type: ignore[call-overload]
    with pytest.raises(SettingError, match="A provider is wanted"):
        list_batches(None)  # type: ignore[call-overload]
    assert api.asked == []
