"""What the simulated model turns away at the door: all in an outage, those without a key, too many in a minute."""

from collections.abc import Callable

import msgspec

from tidyllm.testing import answers
from tidyllm.testing.answers import Answer
from tidyllm.testing.behavior import Behavior
from tidyllm.testing.capacity import RateBucket, round_up_ms
from tidyllm.testing.connection import Exchange


class Gate:
    """Decides who is let in, and tells everyone how many more may come. `now` gives moments in seconds."""

    def __init__(self, behavior: Behavior, *, now: Callable[[], float]) -> None:
        self._now = now
        self._models = frozenset(behavior.models)
        self._authorization = f"Bearer {behavior.key}".encode() if behavior.key else None
        self._outage_until: float | None = None
        per_minute = behavior.requests_per_minute
        self._bucket = RateBucket(per_minute, now=now()) if per_minute else None

    def begin_outage(self, outage_s: float) -> None:
        """Let nobody in for so long."""
        self._outage_until = self._now() + outage_s

    def turn_away(self, exchange: Exchange, request_id: str) -> Answer | None:
        """Return the refusal of a request that comes in an outage or without the key."""
        if self._outage_until is not None and self._now() < self._outage_until:
            return answers.unavailable(request_id)
        if self._authorization is not None and exchange.authorization != self._authorization:
            return answers.no_key(request_id)
        return None

    def refuse(self, exchange: Exchange, request_id: str, *, model: str | None = None) -> Answer | None:
        """Return the refusal of a request that asks a model, none if it may come in; unknown where unreadable."""
        refusal = self.turn_away(exchange, request_id)
        if refusal is None and self._bucket is not None and (wait_s := self._bucket.take(self._now())):
            refusal = answers.rate_limited(request_id, round_up_ms(wait_s) / 1000)
        if refusal is None and self._models and model is not None and model not in self._models:
            refusal = answers.no_model(model, request_id)
        return refusal

    def stamp(self, answer: Answer) -> Answer:
        """Return the answer with what it tells of the limit per minute, if there is one."""
        if self._bucket is None:
            return answer
        return msgspec.structs.replace(answer, headers=(*answer.headers, *self._bucket.headers(self._now())))
