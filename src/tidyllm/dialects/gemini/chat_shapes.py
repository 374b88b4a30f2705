"""GenerateContent on the wire, as the API answers; unknown fields pass; spec/gemini 3."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import msgspec

from tidyllm.core.reply import Citation, Likely, TokenLikelihood
from tidyllm.dialects.gemini.grounding import CitationMetadata, Grounding, grounded, recited
from tidyllm.dialects.usage import Count

Part: TypeAlias = Mapping[str, object]
"""A piece of the content, kept as it came, for the model may want it back."""

FILTERS = (
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
)
"""Reasons to end an answer that are a refusal."""
_FINISHES: Mapping[str, str] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    **dict.fromkeys(FILTERS, "content_filter"),
}
_UNSPECIFIED = "_UNSPECIFIED"
"""How the words end that mean nothing."""


def is_thought(part: Part) -> bool:
    """Return whether a piece belongs to the thoughts."""
    return part.get("thought") is True


def said(part: Part) -> str | None:
    """Return a piece's words, if it has any."""
    return text if isinstance(text := part.get("text"), str) else None


def spoken(part: Part) -> str | None:
    """Return a piece's words, if they are of the answer's text."""
    return None if is_thought(part) else said(part)


class Content(msgspec.Struct, frozen=True):
    """What the model said."""

    parts: list[dict[str, object]] | None = None


class Token(msgspec.Struct, frozen=True, rename="camel"):
    """A token and how likely it was; zeros are left out."""

    token: str | None = None
    log_probability: float | None = None

    def likely(self) -> Likely:
        """Return it as one of several."""
        return Likely(self.token or "", self.log_probability or 0.0)


class Tokens(msgspec.Struct, frozen=True):
    """What one token could have been."""

    candidates: list[Token] | None = None


class LogprobsResult(msgspec.Struct, frozen=True, rename="camel"):
    """How likely the tokens were."""

    chosen_candidates: list[Token] | None = None
    top_candidates: list[Tokens] | None = None

    def likelihoods(self) -> Iterator[TokenLikelihood]:
        """Yield how likely each token was."""
        chosen = self.chosen_candidates or []
        others = [*(self.top_candidates or []), *([Tokens()] * len(chosen))]
        for token, top in zip(chosen, others, strict=False):
            one, alternatives = token.likely(), tuple(other.likely() for other in top.candidates or [])
            yield TokenLikelihood(token=one.token, logprob=one.logprob, alternatives=alternatives)


class Candidate(msgspec.Struct, frozen=True, rename="camel"):
    """One answer; its content may be missing."""

    index: int | None = None
    content: Content | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    grounding_metadata: Grounding | None = None
    citation_metadata: CitationMetadata | None = None
    logprobs_result: LogprobsResult | None = None

    def parts(self) -> list[dict[str, object]]:
        """Return the pieces of the content."""
        return (self.content or Content()).parts or []

    def text(self) -> str | None:
        """Return what it says, apart from its thoughts."""
        texts = [text for part in self.parts() if (text := spoken(part)) is not None]
        return "".join(texts) if texts else None

    def thoughts(self) -> str | None:
        """Return what it tells of its thoughts."""
        return "".join(said(part) or "" for part in self.parts() if is_thought(part)) or None

    def is_signed(self) -> bool:
        """Return whether a piece holds what the model wants back; one that waits for a tool's result is no answer."""
        return any(part.get("thoughtSignature") for part in self.parts()) and not self._calls()

    def _calls(self) -> bool:
        return any("functionCall" in part for part in self.parts())

    def finish(self) -> str | None:
        """Return why it ended; that it calls a tool is told by its pieces alone."""
        reason = told(self.finish_reason)
        if reason == "STOP" and self._calls():
            return "tool_calls"
        return None if reason is None else _FINISHES.get(reason, reason)

    def refusal(self) -> str | None:
        """Return why a filter ended it, if one did."""
        if self.finish_reason not in FILTERS:
            return None
        return self.finish_message or f"A filter ended the answer: {self.finish_reason}."

    def citations(self) -> tuple[Citation, ...]:
        """Return the sources that it names."""
        found = grounded(self.grounding_metadata or Grounding(), [spoken(part) for part in self.parts()])
        return (*found, *recited(self.citation_metadata or CitationMetadata(), self.text() or ""))

    def likelihoods(self) -> tuple[TokenLikelihood, ...]:
        """Return how likely each token was."""
        return tuple((self.logprobs_result or LogprobsResult()).likelihoods())


class PromptFeedback(msgspec.Struct, frozen=True, rename="camel"):
    """What a filter thinks of the prompt."""

    block_reason: str | None = None
    block_reason_message: str | None = None


class Usage(msgspec.Struct, frozen=True, rename="camel"):
    """Tokens; the prompt's include cached ones, the candidates' no thoughts."""

    prompt_token_count: Count | None = None
    tool_use_prompt_token_count: Count | None = None
    cached_content_token_count: Count | None = None
    candidates_token_count: Count | None = None
    thoughts_token_count: Count | None = None

    def tokens_in(self) -> int | None:
        """Return all tokens that were read."""
        return _sum(self.prompt_token_count, self.tool_use_prompt_token_count)

    def tokens_out(self) -> int | None:
        """Return all tokens that were written."""
        return _sum(self.candidates_token_count, self.thoughts_token_count)


class Generated(msgspec.Struct, frozen=True, rename="camel"):
    """An answer, or one chunk of it."""

    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: object = None
    model_version: str | None = None
    response_id: str | None = None
    error: object = None

    def candidate(self) -> Candidate | None:
        """Return the first answer, for no other is asked for."""
        return next((one for one in self.candidates or [] if not one.index), None)

    def refusal(self) -> str | None:
        """Return why the prompt was not answered, if a filter blocked it."""
        feedback = self.prompt_feedback or PromptFeedback()
        reason = told(feedback.block_reason)
        return reason and (feedback.block_reason_message or f"A filter blocked the prompt: {reason}.")


def told(word: str | None) -> str | None:
    """Return a word of the API's, if it says something."""
    return None if not word or word.endswith(_UNSPECIFIED) else word


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
