"""What an error answer says, in whichever of the providers' shapes it comes; read leniently, for it must never fail.

Shapes: an `error` object (OpenAI, Azure, Groq, OpenRouter, vLLM, Anthropic, Google with `details`), an `error` text
(Ollama), `message` or `detail` at the top (Mistral, FastAPI, Voyage), one of these in a list (Google).
"""

import re
from collections.abc import Iterator, Mapping

import msgspec

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the JSON they should be; the last one where they are nested too deep."""
SHOWN_CHARACTERS = 500
"""Of a body that is quoted."""

FINAL_WORDS = frozenset(
    {
        # spec/openai-batch 4.8 and 5.3
        "insufficient_quota",
        "credit_balance_exhausted",
        "billing_hard_limit_reached",
        # spec/anthropic 10
        "enforced_spend_limit_reached",
        "billing_error",
        # spec/openrouter 4
        "payment_required",
        "openrouter_key_limit",
        "openrouter_credits",
    }
)
"""Codes and types of refusals that no waiting cures."""
_STATUS_OF_WORD: Mapping[str, int] = {
    # spec/anthropic 10
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
    # spec/openai-chat 2 and 4.5
    "invalid_prompt": 400,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "server_is_overloaded": 503,
    "slow_down": 503,
    # spec/openrouter 4
    "provider_overloaded": 529,
    "provider_unavailable": 502,
    # spec/groq 4
    "capacity_exceeded": 503,
    "tool_use_failed": 400,
}
"""What an error that came without a status of its own, in a stream or in a 200, would have had."""
_ERROR_STATUSES = range(400, 600)
_BUDGET_IN_FLIGHT = "openrouter_in_flight_budget"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)s")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What an error answer says; null is what it does not tell."""

    message: str | None = None
    code: str | None = None
    type: str | None = None
    param: str | None = None
    status: int | None = None
    """The HTTP status that it stands for, as far as its own words tell."""
    retry_after_s: float | None = None
    request_id: str | None = None
    final: bool = False
    """Whether no waiting cures it: no credit, a spend cap, a day's quota."""
    passing: bool = False
    """Whether waiting cures it although the answer's own status says otherwise; `status` is what it stands for."""


def read_problem(body: bytes) -> Problem:
    """Return what an error answer says, as far as it can be made out; never raises."""
    try:
        said = msgspec.json.decode(body)
    except UNREADABLE:
        return Problem(message=_shown(body))
    if isinstance(said, list) and said:
        said = said[0]
    if not isinstance(said, dict):
        return Problem(message=None if said is None else _shown(body))
    error = said.get("error")
    inner = error if isinstance(error, dict) else said
    message = error if isinstance(error, str) else _message(inner)
    return _problem(inner, outer=said, message=message)


def problem_in_success(body: bytes) -> Problem | None:
    """Return the error that a 200 holds all the same, as of servers whose own upstream failed."""
    if b'"error"' not in body:
        return None
    try:
        held = msgspec.json.decode(body, type=_Held)
    except UNREADABLE:
        return None
    if held.error is not None:
        return read_problem(body)
    error = held.choice_error()
    return None if error is None else read_problem(msgspec.json.encode({"error": error}))


class _Held(msgspec.Struct, frozen=True):
    error: dict[str, object] | str | None = None
    choices: object = None

    def choice_error(self) -> object:
        """Return the error that stands in place of the first answer; spec/openrouter 3."""
        first = self.choices[0] if isinstance(self.choices, list) and self.choices else None
        return first.get("error") if isinstance(first, dict) else None


def _problem(inner: Mapping[str, object], *, outer: Mapping[str, object], message: str | None) -> Problem:
    words = set(_words(inner))
    return Problem(
        message=message,
        code=_word(inner.get("code")),
        type=_text(inner.get("type")),
        param=_text(inner.get("param")),
        status=_status(inner, words, outer=outer),
        retry_after_s=_asked_s(inner),
        request_id=_text(outer.get("request_id")),
        final=bool(FINAL_WORDS & words) and _BUDGET_IN_FLIGHT not in words,
        passing=_BUDGET_IN_FLIGHT in words,
    )


def _message(said: Mapping[str, object]) -> str | None:
    """Return the message, with what a gateway's own upstream said; spec/openrouter 4."""
    told = said.get("message") or said.get("detail")
    message = told if isinstance(told, str) else None if told is None else _told(told)
    metadata = said.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return message if raw is None else f"{message}: {raw if isinstance(raw, str) else _told(raw)}"


def _told(value: object) -> str:
    return _shown(msgspec.json.encode(value)) or ""


def _words(said: Mapping[str, object]) -> Iterator[str]:
    """Yield every word by which an API names the kind of its error."""
    metadata, details = said.get("metadata"), said.get("details")
    places = [said, metadata, details, *(details if isinstance(details, list) else [])]
    for place in places:
        if isinstance(place, dict):
            for name in ("code", "type", "error_type", "error_code", "limit_source", "reason"):
                if isinstance(word := place.get(name), str):
                    yield word
            yield from _quotas(place)


def _quotas(detail: Mapping[str, object]) -> Iterator[str]:
    """Yield `insufficient_quota` for a quota of the day, which only the next day cures; spec/gemini 10."""
    violations = detail.get("violations")
    for violation in violations if isinstance(violations, list) else []:
        if isinstance(violation, dict) and "PerDay" in str(violation.get("quotaId")):
            yield "insufficient_quota"


def _status(inner: Mapping[str, object], words: set[str], *, outer: Mapping[str, object]) -> int | None:
    if "API_KEY_INVALID" in words:  # Google answers 400; spec/gemini 10
        return 401
    if _BUDGET_IN_FLIGHT in words:  # OpenRouter answers 402; spec/openrouter 4
        return 429
    statuses = (inner.get(name) for name in ("status_code", "raw_status_code", "code", "status"))
    for said in (*statuses, outer.get("statusCode")):
        number = int(said) if isinstance(said, str) and said.isdecimal() else said
        if isinstance(number, int) and number in _ERROR_STATUSES:
            return number
    return next((_STATUS_OF_WORD[word] for word in sorted(words & _STATUS_OF_WORD.keys())), None)


def _asked_s(said: Mapping[str, object]) -> float | None:
    """Return the wait that Google asks for in its body; spec/gemini 10."""
    details = said.get("details")
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and (match := _DURATION.fullmatch(str(detail.get("retryDelay")))):
            return float(match[1])
    return None


def _word(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and value not in ("", None) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _shown(body: bytes) -> str | None:
    shown = body.decode(errors="replace").strip()[:SHOWN_CHARACTERS]
    return None if shown in ("", "null") else shown
