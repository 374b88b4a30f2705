"""What each end of a batch leaves behind; spec/openai-batch 4.3 and 6."""

import asyncio
from collections.abc import Iterable

import msgspec
import pytest

from tests.server.loops.conftest import House
from tidyllm.core.batch import BatchStatus, Problem, RequestCounts
from tidyllm.journal import Kind, encode
from tidyllm.journals.disk import DiskJournal
from tidyllm.server.declared import UpstreamSettings
from tidyllm.server.lines import LOST, error_line, http_line
from tidyllm.server.loops.finisher import _ResultFile
from tidyllm.server.places import batch_journals, worker_journal
from tidyllm.server.records import BatchRecord, Lease, ShardReport
from tidyllm.server.store import DEFAULT_PROJECT

BODY = b'{"usage":{"prompt_tokens":2,"completion_tokens":1}}'


async def lease(house: House) -> list[Lease]:
    await house.ask(lambda store: store.add_worker("worker_1", pid=1, now=house.now))
    return await house.ask(lambda store: store.claim_shards("worker_1", limit=100))


async def answer(house: House, leases: list[Lease], *, good: Iterable[int] = (), bad: Iterable[int] = ()) -> None:
    """Journal the answers of some lines, in an order that is not the input's, and report every shard as done."""
    path = worker_journal(house.settings.data, "batch_1", worker_id="worker_1", number=1)
    journal = DiskJournal(lambda: path, disk=house.disk)
    shard_of = {
        line: lease for lease in leases for line in range(lease.shard.line_first, lease.shard.line_first + 2000)
    }
    for line in sorted({*good, *bad}, reverse=True):
        one = shard_of[line]
        custom_id = f"row-{line - 1}"
        if line in set(good):
            kind = Kind.ANSWERED
            data = http_line(batch_id="batch_1", line=line, custom_id=custom_id, status=200, request_id="r", body=BODY)
        else:
            kind = Kind.FAILED
            data = error_line(batch_id="batch_1", line=line, custom_id=custom_id, code="server_error", message="no")
        journal.append(encode(shard=one.shard.number, epoch=one.epoch, line=line, kind=kind, data=data))
    journal.sync()
    journal.close()
    await report(house, leases)


async def report(house: House, leases: list[Lease]) -> None:
    usage = (await house.batch()).usage
    reports = [
        ShardReport(
            batch_id="batch_1",
            number=one.shard.number,
            epoch=one.epoch,
            completed=0,
            failed=0,
            usage=usage,
            done=True,
        )
        for one in leases
    ]
    await house.ask(lambda store: store.report("worker_1", reports))


def ids(lines: list[dict[str, object]]) -> list[object]:
    return [line["custom_id"] for line in lines]


def codes(lines: list[dict[str, object]]) -> list[object]:
    return [line["error"]["code"] for line in lines]  # type: ignore[index]


def test_all_answered_gives_an_output_file_in_input_order(house: House) -> None:
    async def scenario() -> None:
        await house.start(50)
        await answer(house, await lease(house), good=range(1, 51))
        assert await house.finisher.run_once()
        assert not await house.finisher.run_once()
        batch = await house.batch()
        assert (batch.status, batch.error_file_id) == (BatchStatus.COMPLETED, None)
        assert batch.counts == RequestCounts(total=50, completed=50, failed=0)
        assert (batch.usage.input_tokens, batch.usage.output_tokens) == (100, 50)
        assert ids(await house.lines(batch.output_file_id)) == [f"row-{n}" for n in range(50)]
        file = await house.file(batch.output_file_id)
        assert (file.purpose, file.filename) == ("batch_output", "batch_1_output.jsonl")
        assert file.expires_at == house.now + house.settings.file_retention_s

    asyncio.run(scenario())


def test_failed_lines_go_to_the_error_file(house: House) -> None:
    async def scenario() -> None:
        await house.start(20)
        await answer(house, await lease(house), good=range(1, 20), bad=[20])
        await house.finisher.run_once()
        batch = await house.batch()
        assert batch.counts == RequestCounts(total=20, completed=19, failed=1)
        assert ids(await house.lines(batch.output_file_id)) == [f"row-{n}" for n in range(19)]
        assert ids(await house.lines(batch.error_file_id)) == ["row-19"]

    asyncio.run(scenario())


def test_a_batch_of_failures_has_no_output_file(house: House) -> None:
    async def scenario() -> None:
        await house.start(4)
        await answer(house, await lease(house), bad=range(1, 5))
        await house.finisher.run_once()
        batch = await house.batch()
        assert (batch.status, batch.output_file_id) == (BatchStatus.COMPLETED, None)
        assert batch.counts == RequestCounts(total=4, completed=0, failed=4)
        assert ids(await house.lines(batch.error_file_id)) == [f"row-{n}" for n in range(4)]

    asyncio.run(scenario())


def test_a_cancelled_batch_lists_what_never_ran_and_does_not_count_it_as_failed(house: House) -> None:
    async def scenario() -> None:
        await house.start(8)
        leases = await lease(house)
        await house.ask(lambda store: store.cancel_batch(DEFAULT_PROJECT, "batch_1", now=house.now))
        assert not await house.finisher.run_once()
        await answer(house, leases, good=[2, 3, 5, 7])
        await house.finisher.run_once()
        batch = await house.batch()
        assert batch.status is BatchStatus.CANCELLED
        assert batch.counts == RequestCounts(total=8, completed=4, failed=0)
        assert ids(await house.lines(batch.output_file_id)) == ["row-1", "row-2", "row-4", "row-6"]
        never = await house.lines(batch.error_file_id)
        assert ids(never) == ["row-0", "row-3", "row-5", "row-7"]
        assert codes(never) == ["batch_cancelled"] * 4

    asyncio.run(scenario())


def test_a_batch_cancelled_before_it_was_read_leaves_nothing(house: House) -> None:
    async def scenario() -> None:
        await house.send(3)
        await house.ask(lambda store: store.cancel_batch(DEFAULT_PROJECT, "batch_1", now=house.now))
        await house.finisher.run_once()
        batch = await house.batch()
        assert (batch.status, batch.output_file_id, batch.error_file_id) == (BatchStatus.CANCELLED, None, None)
        assert batch.counts == RequestCounts()

    asyncio.run(scenario())


def test_a_batch_whose_window_closed_is_published_as_expired(house: House) -> None:
    async def scenario() -> None:
        await house.start(10)
        leases = await lease(house)
        house.clock.advance(86_400)
        await house.expirer.run_once()
        await answer(house, leases, good=[1])
        await house.finisher.run_once()
        batch = await house.batch()
        assert batch.status is BatchStatus.EXPIRED
        assert batch.counts == RequestCounts(total=10, completed=1, failed=0)
        assert codes(await house.lines(batch.error_file_id)) == ["batch_expired"] * 9

    asyncio.run(scenario())


def test_a_stopped_batch_does_not_wait_longer_than_the_grace_for_what_is_in_flight(house: House) -> None:
    async def scenario() -> None:
        await house.start(4)
        await lease(house)
        await house.ask(lambda store: store.cancel_batch(DEFAULT_PROJECT, "batch_1", now=house.now))
        house.clock.advance(house.settings.cancel_grace_s)
        assert not await house.finisher.run_once()
        house.clock.advance(1)
        assert await house.finisher.run_once()
        assert (await house.batch()).status is BatchStatus.CANCELLED

    asyncio.run(scenario())


def test_an_answer_that_cannot_be_read_back_is_a_failure_and_not_a_gap(house: House) -> None:
    async def scenario() -> None:
        await house.start(3, between="\n\n")
        leases = await lease(house)
        await answer(house, leases, good=[1])
        await house.finisher.run_once()
        batch = await house.batch()
        assert batch.counts == RequestCounts(total=3, completed=1, failed=2)
        assert codes(await house.lines(batch.error_file_id)) == [LOST[0]] * 2

    asyncio.run(scenario())


def test_an_interrupted_finish_is_done_again_byte_for_byte(house: House) -> None:
    async def scenario() -> None:
        await house.start(40)
        await answer(house, await lease(house), good=range(1, 31), bad=range(31, 41))
        await house.ask(lambda store: store.finalize_batches(now=house.now))
        shards = await house.ask(lambda store: store.shards("batch_1"))
        files = [_ResultFile(word, house.blobs.create()) for word in ("output", "error")]
        # The process dies before this is published.
        first = house.finisher._write(await house.batch(), shards, files=files)
        written = [house.blobs.path(file.blob).read_bytes() for file in first.files]
        await house.finisher.run_once()
        batch = await house.batch()
        second = [await house.file(batch.output_file_id), await house.file(batch.error_file_id)]
        assert [file.id for file in second] == [file.id for file in first.files]
        assert [house.blobs.path(file.blob).read_bytes() for file in second] == written

    asyncio.run(scenario())


@pytest.mark.parametrize("ended", [False, True])
def test_journals_go_when_their_batch_has_ended_and_not_before(house: House, *, ended: bool) -> None:
    async def scenario() -> None:
        await house.start(4)
        await answer(house, await lease(house), good=range(1, 5))
        if ended:
            await house.finisher.run_once()
        await house.pruner.run_once()
        assert bool(batch_journals(house.settings.data, "batch_1")) is not ended

    asyncio.run(scenario())


def test_the_bytes_of_a_deleted_file_stay_until_the_batches_that_read_it_have_ended(house: House) -> None:
    async def scenario() -> None:
        await house.start(4)
        blob = house.blobs.path("file-batch1")
        assert await house.ask(lambda store: store.delete_file(DEFAULT_PROJECT, "file-batch1", now=house.now))
        await house.pruner.run_once()
        assert blob.exists()
        await answer(house, await lease(house), good=range(1, 5))
        await house.finisher.run_once()
        await house.pruner.run_once()
        assert not blob.exists()
        assert await house.ask(lambda store: store.purgeable_blobs(now=house.now, limit=1)) == []

    asyncio.run(scenario())


def test_a_batch_whose_input_is_gone_fails_with_the_reason(house: House) -> None:
    async def scenario() -> None:
        await house.send(4)
        house.blobs.delete("file-batch1")
        await house.intake.run_once()
        batch = await house.batch()
        assert batch.status is BatchStatus.FAILED
        assert [(problem.code, problem.param, problem.line) for problem in batch.problems] == [
            ("invalid_request", "file_id", None)
        ]

    asyncio.run(scenario())


def test_a_bad_input_file_fails_its_batch(house: House) -> None:
    async def scenario() -> None:
        await house.send(2, between="not json\n")
        await house.intake.run_once()
        batch = await house.batch()
        assert (batch.status, batch.counts) == (BatchStatus.FAILED, RequestCounts())
        assert [problem.line for problem in batch.problems] == [2]

    asyncio.run(scenario())


def test_a_batch_for_a_model_that_no_upstream_takes_fails(house: House) -> None:
    async def scenario() -> None:
        near = UpstreamSettings(name="near", base_url="http://near/v1", models=("m1", "other-*"))
        house.upstreams.replace((near, msgspec.structs.replace(near, name="far", models=("M",))))
        await house.send(2)
        await house.intake.run_once()
        batch = await house.batch()
        message = "No upstream takes the model 'm': there are near (m1, other-*), far (M)."
        assert batch.status is BatchStatus.FAILED
        assert batch.problems == (Problem(code="model_not_found", message=message, param="body.model"),)
        house.upstreams.replace((near, msgspec.structs.replace(near, name="far", models=("?",))))
        await house.start(2, batch_id="batch_2")
        assert (await house.batch("batch_2")).status is BatchStatus.IN_PROGRESS

    asyncio.run(scenario())


def test_an_input_that_breaks_the_reader_fails_its_batch_and_holds_up_no_other(house: House) -> None:
    async def scenario() -> None:
        await house.send(1)
        await house.send(1, batch_id="batch_2")
        await house.ask(lambda store: store.add_batch(strange))
        while await house.intake.run_once():
            pass
        statuses = [(await house.batch(one)).status for one in ("batch_1", "batch_2", "batch_3")]
        assert statuses == [BatchStatus.IN_PROGRESS, BatchStatus.IN_PROGRESS, BatchStatus.FAILED]

    strange = BatchRecord(
        id="batch_3",
        project_id=DEFAULT_PROJECT,
        endpoint="/v1/nothing",  # no such endpoint: an error of ours, which the API would have to make
        input_file_id="file-batch1",
        completion_window="24h",
        created_at=0,
        expires_at=2**40,
    )
    asyncio.run(scenario())


def test_a_stray_file_among_the_journals_is_left_alone(house: House) -> None:
    stray = house.settings.data / "journals" / ".DS_Store"
    stray.touch()
    asyncio.run(house.pruner.run_once())
    assert stray.exists()
