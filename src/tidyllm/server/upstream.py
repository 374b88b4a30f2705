"""One upstream, an OpenAI-compatible endpoint: how it is asked, how fast, and whether it can be asked at all."""

import logging
import math
import random

import msgspec

from tidyllm.core.clock import Clock
from tidyllm.core.errors import TransportError
from tidyllm.core.wire import Request, Response
from tidyllm.server.declared import UpstreamSettings
from tidyllm.server.health import Health, State
from tidyllm.server.held import OF_LATE
from tidyllm.server.settings import Settings
from tidyllm.server.verdict import Fault, Question, Result, answered, failed, fault_of, reason
from tidyllm.server.words import as_sentence
from tidyllm.transport.drive import Sender
from tidyllm.transport.pace import Ceilings, LanePace

log = logging.getLogger(__name__)

TELL_EVERY_S = 60.0
"""A trouble that comes and goes is told at most this often; one that stays, once."""
BYTES_PER_TOKEN = 4
"""About so many of a request, until its answer says how many tokens there were."""


class Again(msgspec.Struct, frozen=True):
    """A request has to be asked again."""

    after_s: float
    """Not before so many seconds have passed."""
    costs: bool
    """Whether an attempt is used up."""


class Upstream:
    """One OpenAI-compatible endpoint, as one worker asks it."""

    def __init__(
        self,
        declared: UpstreamSettings,
        *,
        sender: Sender,
        headers: tuple[tuple[str, str], ...],
        clock: Clock,
        rng: random.Random,
        settings: Settings,
        learned: float | None = None,
    ) -> None:
        self.declared = declared
        self.health = Health()
        self._models: dict[str, Health] = {}
        """Of those of its models that it does not know."""
        self._known: set[str] = set()
        """Models for which it has answered."""
        self._sender = sender
        self._headers = (("content-type", "application/json"), *headers)
        self.clock = clock
        self._rng = rng
        self._settings = settings
        self._base = declared.base_url.rstrip("/")
        self._tokens_out = 0.0
        """Of an answer, on average of late."""
        self._told: str | None = None
        self._told_at: dict[str, float] = {}
        self.pace = LanePace(now=clock.monotonic(), ceilings=self._ceilings(), learned=learned)

    def takes(self, model: str) -> bool:
        """Return whether it is declared to answer for a model."""
        return self.declared.takes(model)

    def declare(self, declared: UpstreamSettings) -> None:
        """Be what is declared now; what is wrong may have been put right, so it is tried at once."""
        now = self.clock.monotonic()
        self.declared = declared
        self.pace.keep(self._ceilings(), now=now)
        for health in (self.health, *self._models.values()):
            health.try_at(now)

    @property
    def load(self) -> float:
        """Return how much of what it can take it has."""
        return self.pace.concurrency.in_flight / self.pace.concurrency.limit

    def wait_s(self, model: str, *, now: float) -> float:
        """Return after how many seconds it may be asked for a model; `math.inf` where something has to happen first."""
        wait_s = self.pace.wait_s(now=now, tokens=self._tokens(0))
        if self.health.state is not State.WELL:
            wait_s = max(wait_s, self.health.wait_s(now=now))
        if self._models and (of_model := self._models.get(model)) is not None:
            wait_s = max(wait_s, of_model.wait_s(now=now))
        return wait_s

    @property
    def room(self) -> int:
        """Return how many requests, at least, it may be asked now that it may be asked one."""
        return self.pace.room if self.health.state is State.WELL and not self._models else 1

    def begin(self, question: Question, *, tries: int, attempts: int, now: float) -> "Flight":
        """Return a request on its way, counted from now on: sent so often, and so often failed by its own fault."""
        tokens = self._tokens(len(question.request.body))
        self.pace.began(now=now, tokens=tokens)
        probes: list[Health] = []
        if self.health.state is not State.WELL or self._models:
            healths = (self.health, self._models.get(question.model))
            probes = [health for health in healths if health is not None and health.began(now=now)]
        return Flight(self, question, tries=tries, attempts=attempts, tokens=tokens, probes=probes)

    async def send(self, question: Question) -> Response | TransportError:
        """Return what came of sending a request once."""
        request = Request(
            method="POST",
            url=self._base + question.endpoint.removeprefix("/v1"),
            headers=self._headers,
            body=bytes(question.request.body),
            timeout_s=self._settings.request_timeout_s,
            body_bytes_max=self._settings.response_bytes_max,
            lets_go=True,  # Only the end of the worker cancels it, and then its answer has no journal to go to.
        )
        try:
            return await self._sender.send(request, ())
        except TransportError as error:
            return error

    def land(self, flight: "Flight", answer: Response | TransportError | None, *, now: float) -> Result | Again:
        """Return what became of a request, and take in what that says of the upstream; null if it was never sent."""
        for health in flight.probes:
            health.probed(now=now)
        result = None if answer is None else answered(flight.question, answer)
        asked_s = self._pace(flight, answer, result=result, now=now)
        if answer is None:
            return Again(0.0, costs=False)
        if result is not None:
            self._well(flight.question.model)
            return result
        return self._judge(flight, answer, asked_s=asked_s, now=now)

    def _pace(
        self, flight: "Flight", answer: Response | TransportError | None, *, result: Result | None, now: float
    ) -> float | None:
        """Take in how fast it was; return the wait that a refusal asks for."""
        response = answer if isinstance(answer, Response) else None
        work = 0.0
        if result is not None:
            used = result.usage
            work = float(used.output_tokens or used.input_tokens or 1)
            self._tokens_out += OF_LATE * (used.output_tokens - self._tokens_out)
            if flight.tokens:
                self.pace.correct(used.input_tokens + used.output_tokens - flight.tokens, now=now)
        if not flight.let_go:
            self.pace.ended(response, now=now, seconds=flight.seconds, work=work)
        return None if response is None else self.pace.hear(response, now=now, wall=self.clock.now())

    def _judge(
        self, flight: "Flight", answer: Response | TransportError, *, asked_s: float | None, now: float
    ) -> Result | Again:
        why, fault, model = reason(answer), fault_of(answer), flight.question.model
        first = not flight.tries
        if fault is Fault.REFUSED:
            self.health.failed(why, first=first, now=now)
        elif fault is Fault.UNREACHABLE or fault is Fault.KEY:
            self.health.fell(State.DOWN if fault is Fault.UNREACHABLE else State.PAUSED, why, now=now)
        elif fault is Fault.UNKNOWN and model not in self._known:
            self._models = {name: health for name, health in self._models.items() if not health.is_unasked(now=now)}
            self._models.setdefault(model, Health()).fell(State.PAUSED, f"{why} for the model {model}", now=now)
        elif fault is not Fault.ATTEMPT:
            self._well(model)
            return failed(flight.question, answer)
        elif not self.health.failed(why, first=first, now=now):
            if flight.attempts + 1 >= self._settings.attempts_max:
                return failed(flight.question, answer)
            return self._again(flight, costs=True)
        self._tell()
        return self._again(flight, asked_s=asked_s)

    def _again(self, flight: "Flight", *, asked_s: float | None = None, costs: bool = False) -> Again:
        """Return that a request is asked again: when the upstream asks for it, else after longer each time."""
        settings = self._settings
        ceiling = min(settings.retry_delay_first_s * 2 ** min(flight.tries, 16), settings.retry_delay_max_s)
        delay = ceiling * self._rng.uniform(0.5, 1.0) if asked_s is None else min(asked_s, settings.retry_delay_max_s)
        return Again(delay, costs)

    def _tokens(self, body_bytes: int) -> float:
        return body_bytes / BYTES_PER_TOKEN + self._tokens_out if self.pace.counts_tokens else 0.0

    def _ceilings(self) -> Ceilings:
        declared, workers = self.declared, self._settings.workers
        most = self._settings.concurrency
        if declared.max_concurrency is not None:
            most = min(most, declared.max_concurrency // workers)
        by_minute = [None if much is None else much / workers for much in (declared.rpm, declared.tpm)]
        return Ceilings(concurrency=most, requests_per_minute=by_minute[0], tokens_per_minute=by_minute[1])

    def _well(self, model: str) -> None:
        self._known.add(model)
        self.health.answered()
        if self._told is not None or self._models:
            self._models.pop(model, None)
            self._tell()

    @property
    def trouble(self) -> tuple[State, str | None]:
        """Return how it is, and why: it itself, or else one of its models that is still asked for."""
        now = self.clock.monotonic()
        healths = (self.health, *(health for health in self._models.values() if not health.is_unasked(now=now)))
        ill = next((health for health in healths if health.state is not State.WELL), self.health)
        return ill.state, ill.reason

    def _tell(self) -> None:
        """Tell whoever runs the server, once, why requests wait; rate limits are daily life, and not told."""
        _, trouble = self.trouble
        if trouble == self._told:
            return
        now = self.clock.monotonic()
        if trouble is not None and now < self._told_at.get(trouble, -math.inf) + TELL_EVERY_S:
            return
        self._told = trouble
        if trouble is None:
            log.info("The upstream %s answers again.", self._base)
        else:
            self._told_at[trouble] = now
            problem = as_sentence(trouble)
            log.warning("The upstream %s has a problem: %s Requests wait until it is solved.", self._base, problem)


class Flight(msgspec.Struct, eq=False):
    """A request on its way to an upstream."""

    upstream: Upstream
    question: Question
    tries: int
    attempts: int
    tokens: float
    """What it was taken to cost."""
    probes: list[Health]
    """Whose state it is to find out."""
    bytes: int = 0
    """How much memory it and its answer are taken to need."""
    let_go: bool = False
    """Whether it no longer takes a place."""
    seconds: float = 0.0
    """How long it took."""

    async def ask(self) -> Result | Again:
        """Send it, and return what became of it."""
        clock = self.upstream.clock
        began = clock.monotonic()
        answer = await self.upstream.send(self.question)
        now = clock.monotonic()
        self.seconds = now - began
        return self.upstream.land(self, answer, now=now)

    def not_sent(self) -> None:
        """Give back its place: it is not sent after all."""
        self.upstream.land(self, None, now=self.upstream.clock.monotonic())

    def give_place(self) -> None:
        """Give back its place while it goes on: nobody waits for its answer any more."""
        if not self.let_go:
            self.let_go = True
            self.upstream.pace.ended(None, now=self.upstream.clock.monotonic())
