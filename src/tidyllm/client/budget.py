"""A run's budget: nothing is sent whose cost, with that of all that is under way, could pass it."""

import asyncio

from tidyllm.client.prices import priced
from tidyllm.core.errors import SettingError
from tidyllm.core.reply import Reply
from tidyllm.core.wire import Request
from tidyllm.provider import Model
from tidyllm.transport.drive import body_bytes

TOKENS_OUT_FIRST = 1024
"""How long an answer is taken to be at most, before the first has come, where no `max_tokens` says it."""
MARGIN = 1.5
"""How much longer than the longest so far an answer may be."""
SAFE_BYTES_PER_TOKEN = 3
"""Of a prompt, on the safe side: most texts have four."""
REASKED_TOKENS = 256
"""What a second question says of the first answer, which it repeats: what is wrong with it."""


class Budget:
    """What was spent of it, and what is reserved for requests under way; in US dollars."""

    def __init__(self, dollars: float, model: Model, *, reask: bool = False) -> None:
        self._left = dollars
        self._model = model
        self._reask = reask
        self._longest = TOKENS_OUT_FIRST
        self._reserved: dict[int, float] = {}
        self._settled = asyncio.Event()
        self._cost(1, 1)

    async def reserve(self, number: int, request: Request) -> bool:
        """Wait until a request can be paid for, and reserve that; return False where it cannot be."""
        tokens_in = body_bytes(request) // SAFE_BYTES_PER_TOKEN + 1
        while True:
            tokens_out = self._model.params.max_tokens or round(self._longest * MARGIN)
            most = self._cost(tokens_in, tokens_out)
            if self._reask:
                most += self._cost(tokens_in + tokens_out + REASKED_TOKENS, tokens_out)
            if most <= self._left - sum(self._reserved.values()):
                self._reserved[number] = most
                return True
            if not self._reserved:
                return False
            self._settled.clear()
            await self._settled.wait()

    def settle(self, number: int, reply: Reply | None) -> None:
        """Take in what a request has cost in truth; nothing where no answer came."""
        self._reserved.pop(number, None)
        if reply is not None:
            self._left -= reply.cost or 0.0
            self._longest = max(self._longest, reply.tokens_out or 0)
        self._settled.set()

    def _cost(self, tokens_in: int, tokens_out: int) -> float:
        asked = Reply(
            provider=self._model.provider.name, asked=self._model.chat_name, tokens_in=tokens_in, tokens_out=tokens_out
        )
        cost = priced(asked).cost
        if cost is None:
            raise SettingError(f"No price is known of {self._model!r}, so that no budget= can hold: leave it out.")
        return cost
