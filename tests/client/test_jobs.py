"""The folder of a job."""

from pathlib import Path

import msgspec
import pytest

from tidyllm import openai
from tidyllm.client.changed import refuse_change
from tidyllm.client.jobs import (
    Job,
    JobFolder,
    JobRecord,
    Remote,
    file_name,
    find_job,
    home,
    job_folder,
    job_key,
    job_of,
    model_of,
)
from tidyllm.core.batch import Batch, BatchStatus, RequestCounts
from tidyllm.core.errors import JobChangedError, JobError, JobLockedError, JobNotFoundError

TOKEN = "t"  # noqa: S105 - a mark, no secret
BATCH = Batch(id="batch_1", status=BatchStatus.VALIDATING, counts=RequestCounts(), created_at=1)


def record(name: str = "reviews", **changes: object) -> JobRecord:
    parts = {"model": '"m"'}
    made = JobRecord(
        name=name,
        key=job_key(parts),
        parts=parts,
        provider="openai",
        base_url="http://127.0.0.1:1/v1",
        model="m",
        kind="polars",
        created_at=1.0,
        remotes=(Remote(token=TOKEN, requests=2, batch=BATCH),),
    )
    return msgspec.structs.replace(made, **changes)


def kept(name: str = "reviews", **changes: object) -> JobFolder:
    folder = job_folder(name)
    with folder.locked():
        folder.write(record(name, **changes))
    return folder


def test_what_is_written_is_read_again(home: Path) -> None:
    folder = kept()
    assert folder.exists
    assert folder.read() == record()
    assert folder.path == home / "reviews"


def test_jobs_live_where_the_program_runs_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIDYLLM_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert home() == tmp_path / ".tidyllm"


@pytest.mark.usefixtures("home")
def test_a_job_that_there_is_not_says_how_to_get_at_one_of_elsewhere() -> None:
    with pytest.raises(JobNotFoundError, match="give its id and provider="):
        job_folder("nothing").read()
    assert find_job("nothing", provider=None) is None
    assert find_job("nothing", provider="openai") is None


@pytest.mark.usefixtures("home")
def test_a_damaged_file_is_an_error_that_names_it() -> None:
    folder = kept()
    (folder.path / "job.json").write_bytes(b'{"name": ')
    with pytest.raises(JobError, match=r"job\.json is damaged"):
        folder.read()


@pytest.mark.usefixtures("home")
def test_a_file_of_another_format_is_not_guessed_at() -> None:
    with pytest.raises(JobError, match="another version"):
        kept(format=99).read()


@pytest.mark.usefixtures("home")
def test_a_job_can_be_worked_on_by_one_at_a_time() -> None:
    folder = kept()
    busy = "'reviews' is still being worked on, perhaps by an earlier call of this program; try again in a moment"
    with folder.locked(), pytest.raises(JobLockedError, match=busy), JobFolder(folder.path).locked():
        pass
    with folder.locked():
        assert folder.exists


@pytest.mark.usefixtures("home")
def test_a_job_is_found_by_its_name_or_by_its_batch() -> None:
    kept("other", remotes=())
    folder = kept()
    damaged = job_folder("damaged")
    with damaged.locked():
        (damaged.path / "job.json").write_bytes(b"?")
    for word, provider in (("reviews", None), ("reviews", "openai"), ("batch_1", "openai")):
        found = find_job(word, provider=provider)
        assert found is not None
        assert found.path == folder.path
    assert find_job("batch_1", provider="local") is None
    assert find_job("batch_1", provider=None) is None
    assert find_job("m", provider="openai") is None


def test_the_key_depends_on_the_content_and_not_on_its_order() -> None:
    assert job_key({"a": "1", "b": "2"}) == job_key({"b": "2", "a": "1"})
    assert job_key({"a": "1"}) != job_key({"a": "2"})


def test_a_change_is_refused_with_each_difference() -> None:
    refuse_change(record(), {"model": '"m"'})
    with pytest.raises(JobChangedError) as caught:
        refuse_change(record(), {"model": '"n"', "prompt": "x" * 100})
    assert caught.value.differences == {
        "model": 'was "m", now "n"',
        "prompt": f"was absent, now {'x' * 60}…",
    }
    assert "another name" in str(caught.value)


def test_no_id_leads_out_of_the_folder() -> None:
    assert [file_name(word) for word in ("batch_1", "../x", "..", "a/b:c", "")] == [
        "batch_1",
        "___x",
        "__",
        "a_b_c",
        "_",
    ]


@pytest.mark.usefixtures("home")
def test_the_raw_files_have_a_folder_for_each_batch() -> None:
    folder = kept()
    assert folder.raw("batch/1") == folder.path / "raw" / "batch_1"
    assert folder.raw("batch/1").is_dir()


def test_the_model_is_known_from_the_record() -> None:
    assert model_of(record()) == openai("m", base_url="http://127.0.0.1:1/v1")


@pytest.mark.usefixtures("home")
def test_a_job_shows_no_key() -> None:
    job = job_of(kept(), record(), model=openai("m", api_key="sk-secret"))
    assert isinstance(job, Job)
    assert repr(job) == "Job('reviews', openai('m', api_key='…'), 2 rows, batch_1)"
