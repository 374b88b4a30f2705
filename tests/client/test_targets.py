"""Which batches a verb is about."""

import pytest

from tests.client.fake_api import FakeApi
from tidyllm import openai, send_batch
from tidyllm.client.targets import find_target


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
