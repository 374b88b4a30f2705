"""The simulated model: what becomes of each request, from the body to its answer, its fault or its silence."""

import asyncio
import threading
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.testing import answers
from tidyllm.testing.answers import Answer, ChatQuestion, EmbeddingsQuestion, Question, RefusedError
from tidyllm.testing.behavior import Behavior, Fault, Plan
from tidyllm.testing.capacity import Room
from tidyllm.testing.connection import Exchange
from tidyllm.testing.faults import Faults
from tidyllm.testing.gate import Gate
from tidyllm.testing.witness import Ticket, Witness, request_key

SIGHTINGS_MAX = 500_000
"""Different bodies whose repetitions are counted; when there are more, counting begins anew for all."""
_ORDER_TIMEOUT_S = 30.0


class SimulatedModel:
    """An OpenAI-like endpoint while it runs: where it is, what it served, and how to hold it.

    All methods may be called from any thread, and have taken effect when they return.
    """

    def __init__(self, behavior: Behavior, *, root: str, loop: asyncio.AbstractEventLoop) -> None:
        self.behavior = behavior
        self.root = root
        """URL without a path; `/simulated/counts` and its like are here."""
        self.base_url = f"{root}/v1"
        """What a client of OpenAI's API calls its base URL."""
        self.witness = Witness()
        self._gate = Gate(behavior, now=loop.time)
        self._room = Room(self.witness, capacity=behavior.capacity, over_capacity=behavior.over_capacity)
        self._faults = Faults(behavior)
        self._loop = loop
        self._thread_id = threading.get_ident()
        self._sightings: dict[bytes, int] = {}
        self._received = 0
        self._capacity_changes = dict(behavior.capacity_changes)
        self._refusals_left = 0
        """Requests still to refuse in the burst of 429s that is open."""
        self._held: list[tuple[Exchange, Answer]] | None = None
        self._routes: Mapping[tuple[str, str], Callable[[Exchange], None]] = {
            ("POST", "/v1/chat/completions"): lambda exchange: self._receive(exchange, ChatQuestion),
            ("POST", "/v1/embeddings"): lambda exchange: self._receive(exchange, EmbeddingsQuestion),
            ("GET", "/v1/models"): self._list_models,
            ("GET", "/simulated/counts"): self._tell_counts,
            ("GET", "/simulated/wait"): self._tell_when,
            ("POST", "/simulated/reset"): lambda exchange: self._obey(exchange, self._reset),
            ("POST", "/simulated/hold"): lambda exchange: self._obey(exchange, self._hold),
            ("POST", "/simulated/release"): lambda exchange: self._obey(exchange, self._release),
        }

    def hold(self) -> None:
        """Receive and count requests from now on, and answer none until `release`."""
        self._order(self._hold)

    def release(self) -> None:
        """Send the answers that were held, and hold no more."""
        self._order(self._release)

    def set_capacity(self, capacity: int) -> None:
        """Work on so many requests at the same time from now on, 0 being no bound; what is worked on now goes on.

        Raises SettingError for what is no capacity. A reset returns to the behavior's capacity.
        """
        if capacity < 0:
            raise SettingError(f"A capacity is 0 or more, which {capacity} is not.")
        self._order(lambda: self._room.resize(capacity))

    def reset(self) -> None:
        """Forget all counts, all bodies that were seen and all limits met, as if freshly started; a hold stays."""
        self._order(self._reset)

    def handle(self, exchange: Exchange) -> None:
        """Answer a request now or later; called on the model's own loop."""
        path = exchange.target.partition("?")[0]
        route = self._routes.get((exchange.method, path))
        if route is not None:
            route(exchange)
        elif any(path == known for _, known in self._routes):
            exchange.respond(answers.refusal(f"Not allowed to {exchange.method} on {path}.", status=405))
        else:
            exchange.respond(answers.refusal(f"Invalid URL ({exchange.method} {path})", status=404))

    def _receive(self, exchange: Exchange, kind: type[ChatQuestion] | type[EmbeddingsQuestion]) -> None:
        digest = self.behavior.digest(exchange.body)
        sighting = self._sighting(digest)
        request_id = f"req_{digest.hex()}-{sighting}"
        try:
            question = answers.read(exchange.body, kind)
        except RefusedError as error:
            self._count(exchange, None)
            refusal = self._gate.refuse(exchange, request_id)
            self._send(exchange, refusal or answers.refusal(str(error), param=error.param, request_id=request_id))
            return
        ticket = self._count(exchange, request_key(question.text()))
        plan = self.behavior.plan(digest, sighting)
        refusal = self._gate.refuse(exchange, request_id, model=question.model)
        if refusal is None:
            refusal = self._refuse(exchange, plan, request_id=request_id)
        if refusal is not None:
            self._send(exchange, refusal)
        elif not self._room.enter(
            ticket, lambda: self._work(exchange, plan, question=question, digest=digest, request_id=request_id)
        ):
            self._send(exchange, answers.over_capacity(request_id, self.behavior.retry_after_s))

    def _work(self, exchange: Exchange, plan: Plan, *, question: Question, digest: bytes, request_id: str) -> None:
        """Answer a request that the room has a place for, after its latency."""
        if plan.fault is Fault.HANG:
            return
        answer = Answer(body=question.answer(digest), content_type=question.content_type, request_id=request_id)
        if plan.fault is not None:
            answer = self._faults.spoil(answer, plan.fault, chance=plan.chance)
        if plan.latency_s:
            self._loop.call_later(plan.latency_s, self._send, exchange, answer)
        else:
            self._send(exchange, answer)

    def _sighting(self, digest: bytes) -> int:
        """Return how often this body was seen, this time included."""
        if len(self._sightings) >= SIGHTINGS_MAX:
            self._sightings.clear()
        sighting = self._sightings[digest] = self._sightings.get(digest, 0) + 1
        return sighting

    def _count(self, exchange: Exchange, key: str | None) -> Ticket:
        """Count a request, and let happen what happens with so many."""
        self._received += 1
        if self._received == self.behavior.outage_after:
            self._gate.begin_outage(self.behavior.outage_s)
        if (capacity := self._capacity_changes.get(self._received)) is not None:
            self._room.resize(capacity)
        ticket = self.witness.note_received(key)
        exchange.on_end = lambda written: self._count_end(exchange, ticket, written=written)
        return ticket

    def _count_end(self, exchange: Exchange, ticket: Ticket, *, written: bool) -> None:
        if written and exchange.answer is not None:
            self.witness.note_answered(ticket, exchange.answer.status, broken=exchange.answer.broken)
        else:
            self.witness.note_abandoned(ticket)
        self._room.leave(ticket)

    def _refuse(self, exchange: Exchange, plan: Plan, *, request_id: str) -> Answer | None:
        """Return what the request is refused with that need not be worked on, if that is its fault."""
        if self._is_in_burst(plan):
            return answers.rate_limited(request_id, self.behavior.retry_after_s)
        if plan.fault is Fault.BAD_REQUEST:
            return answers.refusal("Invalid request (simulated).", request_id=request_id)
        if plan.fault is Fault.REDIRECT:
            return answers.moved(exchange.target, request_id)
        return None

    def _is_in_burst(self, plan: Plan) -> bool:
        """Whether the request falls into a burst of 429s, which it may open."""
        if plan.fault is Fault.RATE_LIMIT and self._refusals_left == 0:
            self._refusals_left = self.behavior.rate_limit_burst
        if self._refusals_left == 0:
            return False
        self._refusals_left -= 1
        return True

    def _send(self, exchange: Exchange, answer: Answer) -> None:
        if self._held is None:
            exchange.respond(self._gate.stamp(answer))
        else:
            self._held.append((exchange, answer))

    def _hold(self) -> None:
        if self._held is None:
            self._held = []

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for exchange, answer in held:
            exchange.respond(self._gate.stamp(answer))

    def _reset(self) -> None:
        self.witness.reset()
        self._sightings.clear()
        self._refusals_left = 0
        self._received = 0
        self._gate = Gate(self.behavior, now=self._loop.time)
        self._room.resize(self.behavior.capacity)

    def _order(self, act: Callable[[], None]) -> None:
        """Do something on the loop, and wait until it is done."""
        if threading.get_ident() == self._thread_id:
            act()
            return
        done = threading.Event()

        def obey() -> None:
            act()
            done.set()

        self._loop.call_soon_threadsafe(obey)
        if not done.wait(_ORDER_TIMEOUT_S):
            raise TimeoutError(f"The simulated model did not react within {_ORDER_TIMEOUT_S:g} s.")

    def _obey(self, exchange: Exchange, act: Callable[[], None]) -> None:
        act()
        self._tell_counts(exchange)

    def _list_models(self, exchange: Exchange) -> None:
        answer = self._gate.turn_away(exchange, "req_simulated")
        if answer is None:
            answer = answers.models(self.behavior.models) if self.behavior.models else answers.models()
        exchange.respond(self._gate.stamp(answer))

    def _tell_counts(self, exchange: Exchange) -> None:
        told = msgspec.to_builtins(self.witness.counts())
        if _query(exchange).get("keys") == "1":
            told["keys"] = msgspec.to_builtins(self.witness.keys())
        exchange.respond(Answer(body=msgspec.json.encode(told)))

    def _tell_when(self, exchange: Exchange) -> None:
        query = _query(exchange)
        wanted = {name: query.get(name, "0") for name in ("received", "answered")}
        if not all(number.isdecimal() for number in wanted.values()):
            exchange.respond(answers.refusal("'received' and 'answered' must be whole numbers."))
            return
        forget = self.witness.when(
            lambda: self._tell_counts(exchange), received=int(wanted["received"]), answered=int(wanted["answered"])
        )
        exchange.on_end = lambda _written: forget()


def _query(exchange: Exchange) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(exchange.target.partition("?")[2]).items()}
