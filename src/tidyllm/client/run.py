"""Having many conversations answered: as fast as the model takes them, each failure by itself, each answer kept.

A run takes its questions one by one, in their order. It asks for each as soon as the pace of its model and the budget
let it, and tells its sink of each answer as it comes.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from hashlib import blake2b

import msgspec

from tidyllm.client.budget import Budget
from tidyllm.client.judging import judged
from tidyllm.client.prices import priced
from tidyllm.client.room import Room
from tidyllm.client.run_journal import RunJournal
from tidyllm.client.run_options import RunSettings
from tidyllm.core.errors import (
    ApiError,
    AuthError,
    BadAnswerError,
    NotFoundError,
    PartlyFailedError,
    PermissionDeniedError,
    QuotaError,
    SettingError,
    TransportError,
)
from tidyllm.core.message import AssistantTurn, Conversation, Turn
from tidyllm.core.reply import Answer, Outcome, Reply
from tidyllm.core.wire import Call, Request
from tidyllm.provider import Model
from tidyllm.transport.drive import Transport, body_bytes, gate_of
from tidyllm.transport.gate import Gate
from tidyllm.transport.many import Begun, adrive_many

_LOG = logging.getLogger("tidyllm")

Answering = Callable[[Conversation], Call[Conversation]]
"""Has a conversation answered."""
Question = tuple[int, Conversation | SettingError]
"""The number of a row, from 0, and what it asks; or why it cannot be asked any more: its file is gone."""
_HOPELESS = (AuthError, PermissionDeniedError, NotFoundError, QuotaError)
"""What meets all rows alike, where it meets the first."""
DENIED_MAX = 16
"""With so many answers of 403 and none that is good the key is to blame; some providers say 403 of a single prompt."""
_DIGEST_BYTES = 16
SHOWN_EVERY_S = 0.1


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run is."""

    total: int
    outcomes: Counter[Outcome]
    tokens: int
    dollars: float | None
    """Null where no price is known."""

    @property
    def done(self) -> int:
        """Return how many rows have ended."""
        return self.outcomes.total()


class Run:
    """One run of many questions to one model."""

    def __init__(
        self,
        model: Model,
        *,
        answer: Answering,
        transport: Transport,
        settings: RunSettings,
        sink: Callable[[int, Answer], object],
    ) -> None:
        self._model = model
        self._answer = answer
        self._transport = transport
        self._settings = settings
        self._total = 0
        self._sink = sink
        self.journal: RunJournal | None = None
        """Where answers are kept as they come, if anywhere."""
        self._show: Callable[[Told], object] | None = None
        self._shown_at = 0.0
        self._budget = None if settings.budget is None else Budget(settings.budget, model, reask=settings.reask)
        repeats = model.params.temperature == 0 or model.params.seed is not None
        self.dedups = repeats if settings.dedup is None else settings.dedup
        """Whether equal requests are asked once: then it is to be told of all rows, also of those that are answered."""
        self._leaders: dict[bytes, int | Answer] = {}
        """Of equal requests the first, by what they send: its number, and its answer once that has come."""
        self._had: dict[int, Answer] = {}
        """What earlier runs were answered, until it is known what was asked there."""
        self._followers: dict[int, list[int]] = {}
        self._digests: dict[int, bytes] = {}
        self._sent_bytes: dict[int, int] = {}
        self._room = Room()
        self._gate: Gate | None = None
        self._outcomes: Counter[Outcome] = Counter()
        self._tokens = 0
        self._dollars: float | None = None
        self.talks: dict[int, Conversation] | None = None
        """The conversations with their answers, for who wants them: a dictionary is filled."""
        self.failures: dict[int, Exception] = {}
        """What rows that failed have met: all of them where conversations are wanted, else the first."""
        self._denied = 0
        self.stopped: str | None = None
        """Why the rest is not asked; null while it is."""
        self._asking = True
        self._under_way = 0
        """How many rows are on their way; where answers are kept, some may be when the run is over."""

    @property
    def told(self) -> Told:
        """Return how far it is."""
        return Told(total=self._total, outcomes=self._outcomes, tokens=self._tokens, dollars=self._dollars)

    def had(self, number: int, answer: Answer) -> None:
        """Take an answer that an earlier run has had; what it has cost counts."""
        if self._budget is not None:
            self._budget.settle(number, answer.reply)
        if self.dedups:
            self._had[number] = answer
        self._count(answer)
        self._sink(number, answer)

    async def ask(
        self, questions: Iterable[Question], *, total: int, show: Callable[[Told], object] | None = None
    ) -> None:
        """Ask, until all of `total` rows have ended or nothing more is to be sent; `show` is told now and then.

        Raises what the first request met where that would meet all: a wrong key, a model that there is not.
        """
        self._total, self._show = total, show
        with contextlib.ExitStack() as stack:
            try:
                if self.journal is not None:
                    await self.journal.begin()
                async with asyncio.timeout(self._settings.timeout):
                    await adrive_many(self._begin(questions, stack), self._transport, ended=self._ended)
            except TimeoutError:
                self.stopped = f"The run's time of {self._settings.timeout:g} s was up."
            finally:
                self._asking = False
                self._let_go()
                if self._show is not None:
                    self._show(self.told)
        if self.journal is not None:
            await (self.journal.synced() if self._under_way else self.journal.closed())

    def _let_go(self) -> None:
        """Let the journal be closed once no answer can come any more, be the run long over."""
        if self.journal is not None and not self._asking and not self._under_way:
            self.journal.end()

    async def _begin(self, questions: Iterable[Question], stack: contextlib.ExitStack) -> AsyncIterator[Begun[Answer]]:
        for number, talk in questions:
            if self.journal is not None and not self.journal.writable:
                self.stopped = "The answers could not be written to the disk any more."
            if self.stopped is not None:
                return
            had = self._had.pop(number, None)
            if isinstance(talk, SettingError):
                if had is None:
                    self._unasked(number, talk)
                continue
            if had is not None:
                self._remember(talk, had)
                continue
            call = self._row(number, talk)
            try:
                first = next(call)
                assert isinstance(first, Request)  # noqa: S101 - no dialect begins with a pause
                goes = await self._goes(number, first, stack=stack)
            except BaseException:
                call.close()
                raise
            if goes:
                yield Begun(number, call, first, self._gate)
            else:
                call.close()

    def _unasked(self, number: int, fault: SettingError) -> None:
        """Take that a row cannot be asked; the others can."""
        self._failed(number, fault)
        answer = Answer(custom_id=f"row-{number + 1}", outcome=Outcome.FAILED, error=str(fault))
        if self.journal is not None:
            self.journal.keep(number, answer)
        self._take(number, answer)

    async def _goes(self, number: int, first: Request, *, stack: contextlib.ExitStack) -> bool:
        """Return whether a row is to be asked, once it can be paid for."""
        if self._gate is None:
            self._gate = gate_of(first, self._transport)
            if self._gate is not None:
                stack.enter_context(self._gate.keeping(self._settings.ceilings, self._transport.clock))
        if self.dedups and self._follows(number, first):
            return False
        if self._budget is not None and not await self._budget.reserve(number, first):
            self.stopped = f"The budget of {self._settings.budget:g} US dollars would have been passed."
            return False
        await self._room.take(number, len(first.body) if isinstance(first.body, bytes) else 0)
        self._sent_bytes[number] = body_bytes(first)
        return True

    def _row(self, number: int, talk: Conversation) -> Call[Answer]:
        """Have one row answered. What it becomes is kept in here, where it arrives even if nobody waits any more."""
        self._under_way += 1
        try:
            answer = yield from self._answered(number, talk)
            if self.journal is not None:
                self.journal.keep(number, answer)
            return answer
        finally:
            self._under_way -= 1
            self._let_go()

    def _answered(self, number: int, talk: Conversation) -> Call[Answer]:
        row_id = f"row-{number + 1}"
        try:
            talked = yield from self._answer(talk)
        except PartlyFailedError as fault:
            first = fault.results[0]
            assert isinstance(first, Conversation)  # noqa: S101 - it has the answer that did not fit
            talked, answer = first, _answer(row_id, first.turns[len(talk.turns) :], failed=fault)
        except BadAnswerError as fault:
            self._failed(number, fault)
            raw = Reply(body=fault.body, seconds=fault.seconds, attempts=fault.attempts)
            return Answer(custom_id=row_id, outcome=Outcome.INVALID, error=str(fault), reply=raw)
        except (ApiError, TransportError) as fault:
            if isinstance(fault, _HOPELESS):
                self._give_up(fault)
            self._failed(number, fault)
            return Answer(
                custom_id=row_id,
                outcome=Outcome.FAILED,
                error=str(fault),
                request_id=getattr(fault, "request_id", None),
                seconds=fault.seconds,
                attempts=fault.attempts,
            )
        else:
            answer = _answer(row_id, talked.turns[len(talk.turns) :])
        if self.talks is not None:
            self.talks[number] = talked
        return answer

    def _failed(self, number: int, fault: Exception) -> None:
        if self.talks is not None or not self.failures:
            self.failures[number] = fault

    def _give_up(self, fault: Exception) -> None:
        """Ask nothing more, as it would meet the same. Raises it where nothing was answered yet."""
        if isinstance(fault, PermissionDeniedError):
            self._denied += 1
            if self._denied < DENIED_MAX:
                return
        if not self._outcomes[Outcome.OK]:
            raise fault
        if isinstance(fault, AuthError | QuotaError):
            self.stopped = f"The provider takes nothing more: {fault}"

    def _ended(self, number: int, result: Answer | Exception) -> None:
        if isinstance(result, Exception):
            raise result
        sent_bytes = self._sent_bytes.pop(number)
        self._room.give(number)
        if self._budget is not None:
            self._budget.settle(number, result.reply)
        if self._gate is not None and result.reply is not None and self._settings.tpm is not None:
            used = (result.reply.tokens_in or 0) + (result.reply.tokens_out or 0)
            self._gate.correct(used, self._transport.clock, body_bytes=sent_bytes)
        self._take(number, result)
        if self.dedups:
            if (digest := self._digests.pop(number, None)) is not None:
                self._leaders[digest] = result
            for follower in self._followers.pop(number, ()):
                self._take_copy(follower, result)

    def _take(self, number: int, answer: Answer) -> None:
        self._count(answer)
        self._sink(number, answer)
        if self._show is not None:
            now = self._transport.clock.monotonic()
            if now - self._shown_at >= SHOWN_EVERY_S:
                self._shown_at = now
                self._show(self.told)

    def _follows(self, number: int, first: Request) -> bool:
        """Whether an equal request was asked before: then its answer is this row's too."""
        if (digest := _digest(first)) is None:
            return False
        leader = self._leaders.setdefault(digest, number)
        if isinstance(leader, Answer):
            self._take_copy(number, leader)
        elif leader != number:
            self._followers.setdefault(leader, []).append(number)
        else:
            self._digests[number] = digest
            return False
        return True

    def _remember(self, talk: Conversation, answer: Answer) -> None:
        """Take the answer of an earlier run for those that ask the same."""
        call = self._answer(talk)
        first = next(call)
        call.close()
        if isinstance(first, Request) and (digest := _digest(first)) is not None:
            self._leaders.setdefault(digest, answer)

    def _take_copy(self, number: int, answer: Answer) -> None:
        """Give a row the answer of an equal one; what that has cost stands with the other alone."""
        reply = answer.reply
        if reply is not None:
            reply = msgspec.structs.replace(reply, tokens_in=None, tokens_out=None, cost=None)
        elif (fault := self.failures.get(int(answer.custom_id.removeprefix("row-")) - 1)) is not None:
            self._failed(number, fault)
        copy = msgspec.structs.replace(answer, custom_id=f"row-{number + 1}", reply=reply)
        if self.journal is not None:
            self.journal.keep(number, copy)
        self._take(number, copy)

    def _count(self, answer: Answer) -> None:
        self._outcomes[answer.outcome] += 1
        if (reply := answer.reply) is not None:
            self._tokens += (reply.tokens_in or 0) + (reply.tokens_out or 0)
            if reply.cost is not None:
                self._dollars = (self._dollars or 0.0) + reply.cost


def _answer(row_id: str, turns: Sequence[Turn], *, failed: PartlyFailedError | None = None) -> Answer:
    """Return how a row ended that was answered, in one turn or in several; `failed` says that the last try failed."""
    answered = [turn for turn in turns if isinstance(turn, AssistantTurn)]
    last = answered[-1]
    reply = last.reply if len(answered) == 1 else _summed([turn.reply for turn in answered])
    answer = judged(row_id, priced(reply), schema=last.schema)
    if failed is None or answer.reply is None:
        return answer
    attempts = (answer.reply.attempts or 0) + (getattr(failed.__cause__, "attempts", None) or 0)
    reply = msgspec.structs.replace(answer.reply, attempts=attempts)
    return msgspec.structs.replace(answer, reply=reply, error=str(failed))


def _digest(request: Request) -> bytes | None:
    """Return what equal requests share."""
    return blake2b(request.body, digest_size=_DIGEST_BYTES).digest() if isinstance(request.body, bytes) else None


def _summed(replies: list[Reply]) -> Reply:
    """Return the last answer, with the tokens, the cost and the time of those before it."""
    *before, last = replies
    for one in before:
        told = {
            name: (getattr(one, name) or 0) + (getattr(last, name) or 0)
            for name in ("tokens_in", "tokens_out", "cost", "seconds", "attempts")
            if getattr(one, name) is not None or getattr(last, name) is not None
        }
        last = msgspec.structs.replace(last, **told)
    return last
