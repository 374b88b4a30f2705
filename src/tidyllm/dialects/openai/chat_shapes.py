"""Chat Completions on the wire, as OpenAI and those who speak its dialect answer; unknown fields pass."""

from collections.abc import Iterator

import msgspec

from tidyllm.core.reply import Citation, Likely, TokenLikelihood
from tidyllm.dialects.openai.shapes import InputDetails, OutputDetails
from tidyllm.dialects.usage import Count


class UrlCitation(msgspec.Struct, frozen=True):
    """A source on the web."""

    url: str | None = None
    title: str | None = None
    content: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class GivenCitation(msgspec.Struct, frozen=True):
    """A source that the user gave, as a document or as the answer of a tool; spec/groq 2d."""

    document_id: str | None = None
    tool_call_id: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Annotation(msgspec.Struct, frozen=True):
    """A remark on the text; other kinds than citations have fields of their own."""

    url_citation: UrlCitation | None = None
    document_citation: GivenCitation | None = None
    function_citation: GivenCitation | None = None

    def citations(self) -> Iterator[Citation]:
        """Yield the sources that it names."""
        if (web := self.url_citation) is not None:
            yield Citation(url=web.url, title=web.title, quote=web.content, start=web.start_index, end=web.end_index)
        for given in (self.document_citation, self.function_citation):
            if given is not None:
                title = given.document_id or given.tool_call_id
                yield Citation(title=title, start=given.start_index, end=given.end_index)


class Part(msgspec.Struct, frozen=True):
    """A piece of the content; other kinds than these have fields of their own; spec/mistral 2c and 2d."""

    text: str | None = None
    thinking: list["Part"] | str | None = None
    reference_ids: list[int | str] | None = None

    def thoughts(self) -> Iterator[str]:
        """Yield the thoughts that it holds."""
        if isinstance(self.thinking, str):
            yield self.thinking
        else:
            yield from (part.text for part in self.thinking or [] if part.text is not None)


class Message(msgspec.Struct, frozen=True):
    """What the model said; of thoughts some servers tell in one field, some in another, some in the content."""

    content: str | list[Part] | None = None
    refusal: str | None = None
    annotations: list[Annotation] | None = None
    reasoning_content: object = None
    reasoning: object = None
    reasoning_details: object = None

    def text(self) -> str | None:
        """Return what it says, apart from its thoughts."""
        if not isinstance(self.content, list):
            return self.content
        texts = [part.text for part in self.content if part.text is not None]
        return "".join(texts) if texts else None

    def told_thoughts(self) -> str | None:
        """Return what it tells of its thoughts."""
        for told in (self.reasoning_content, self.reasoning):
            if isinstance(told, str) and told:
                return told
        if not isinstance(self.content, list):
            return None
        return "".join(text for part in self.content for text in part.thoughts()) or None

    def citations(self) -> tuple[Citation, ...]:
        """Return the sources that it names."""
        found = [source for remark in self.annotations or () for source in remark.citations()]
        if isinstance(self.content, list):
            found.extend(_references(self.content))
        return tuple(found)


class TokenChance(msgspec.Struct, frozen=True):
    """A token and how likely it was."""

    token: str
    logprob: float
    top_logprobs: list[Likely] | None = None


class Logprobs(msgspec.Struct, frozen=True):
    """How likely the tokens were."""

    content: list[TokenChance] | None = None


def _references(parts: list[Part]) -> Iterator[Citation]:
    """Yield the numbers of sources that stand in a text: where they stand is told, but not what they cover."""
    at = 0
    for part in parts:
        at += len(part.text or "")
        for number in part.reference_ids or []:
            yield Citation(title=f"reference {number}", start=at, end=at)


class Choice(msgspec.Struct, frozen=True):
    """One answer."""

    message: Message
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    error: object = None

    def likelihoods(self) -> tuple[TokenLikelihood, ...]:
        """Return how likely each token was."""
        if self.logprobs is None:
            return ()
        return tuple(
            TokenLikelihood(token=one.token, logprob=one.logprob, alternatives=tuple(one.top_logprobs or ()))
            for one in self.logprobs.content or ()
        )


class Usage(msgspec.Struct, frozen=True):
    """Tokens, and what they cost where that is told; spec/deepseek 4, spec/mistral 3, spec/openrouter 3."""

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    prompt_token_details: InputDetails | None = None
    num_cached_tokens: Count | None = None
    prompt_cache_hit_tokens: Count | None = None
    cost: object = None
    """An object of several sums at Perplexity's former API; spec/perplexity 4."""

    def dollars(self) -> float | None:
        """Return what the answer cost, where that is told as one sum."""
        return self.cost if isinstance(self.cost, float | int) and not isinstance(self.cost, bool) else None

    def cached(self) -> int | None:
        """Return how many of the prompt's tokens had been kept."""
        details = self.prompt_tokens_details or self.prompt_token_details
        if details is not None and details.cached_tokens is not None:
            return details.cached_tokens
        return self.prompt_cache_hit_tokens if self.num_cached_tokens is None else self.num_cached_tokens

    def reasoning(self) -> int | None:
        """Return how many of the answer's tokens were thoughts."""
        return None if self.completion_tokens_details is None else self.completion_tokens_details.reasoning_tokens


class GroqExtras(msgspec.Struct, frozen=True):
    """What Groq adds; spec/groq 3 and 4."""

    id: str | None = None
    usage: object = None
    error: object = None


class Completion(msgspec.Struct, frozen=True):
    """An answer; spec/openai-chat 3.4."""

    choices: list[Choice] | None = None
    id: str | None = None
    model: str | None = None
    usage: object = None
    error: object = None
    x_groq: GroqExtras | None = None

    def request_id(self) -> str | None:
        """Return what Groq says to name when asking about the answer."""
        return None if self.x_groq is None else self.x_groq.id
