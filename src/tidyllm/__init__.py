"""Language models over tables: one set of verbs for every provider, and a durable batch server of your own.

Names are loaded when first used: importing the package opens nothing, reads nothing, and costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidyllm import errors
    from tidyllm.client.batch import (
        afetch_batch,
        aretry_batch,
        asend_batch,
        fetch_batch,
        retry_batch,
        send_batch,
    )
    from tidyllm.client.batch_watch import (
        acancel_batch,
        acheck_batch,
        adelete_batch,
        alist_batches,
        await_batch,
        cancel_batch,
        check_batch,
        delete_batch,
        list_batches,
        wait_batch,
    )
    from tidyllm.client.calls import using
    from tidyllm.client.chat import LLMMessage, achat, chat, llm_message
    from tidyllm.client.chat_table import RunPlan
    from tidyllm.client.embed import aembed, embed
    from tidyllm.client.jobs import Job
    from tidyllm.client.limits import rate_limit_info
    from tidyllm.client.media import file, image
    from tidyllm.client.models import alist_models, list_models
    from tidyllm.client.nearest import nearest, to_numpy
    from tidyllm.client.plan import Plan
    from tidyllm.client.preview import Preview
    from tidyllm.client.schemas import (
        field_chr,
        field_dbl,
        field_fct,
        field_int,
        field_lgl,
        field_object,
        tidyllm_schema,
    )
    from tidyllm.client.stream import AsyncStream, Stream, astream, stream
    from tidyllm.client.summary import summary
    from tidyllm.core.media import Media
    from tidyllm.provider import Model, Provider
    from tidyllm.providers.azure_openai import azure_openai
    from tidyllm.providers.chat_completions import chat_completions
    from tidyllm.providers.claude import claude
    from tidyllm.providers.deepseek import deepseek
    from tidyllm.providers.gemini import gemini
    from tidyllm.providers.groq import groq
    from tidyllm.providers.llamacpp import llamacpp
    from tidyllm.providers.local import local
    from tidyllm.providers.mistral import mistral
    from tidyllm.providers.ollama import ollama
    from tidyllm.providers.openai import openai
    from tidyllm.providers.openrouter import openrouter
    from tidyllm.providers.perplexity import perplexity
    from tidyllm.providers.vllm import vllm
    from tidyllm.providers.voyage import voyage

__all__ = [
    "AsyncStream",
    "Job",
    "LLMMessage",
    "Media",
    "Model",
    "Plan",
    "Preview",
    "Provider",
    "RunPlan",
    "Stream",
    "acancel_batch",
    "achat",
    "acheck_batch",
    "adelete_batch",
    "aembed",
    "afetch_batch",
    "alist_batches",
    "alist_models",
    "aretry_batch",
    "asend_batch",
    "astream",
    "await_batch",
    "azure_openai",
    "cancel_batch",
    "chat",
    "chat_completions",
    "check_batch",
    "claude",
    "deepseek",
    "delete_batch",
    "embed",
    "errors",
    "fetch_batch",
    "field_chr",
    "field_dbl",
    "field_fct",
    "field_int",
    "field_lgl",
    "field_object",
    "file",
    "gemini",
    "groq",
    "image",
    "list_batches",
    "list_models",
    "llamacpp",
    "llm_message",
    "local",
    "mistral",
    "nearest",
    "ollama",
    "openai",
    "openrouter",
    "perplexity",
    "rate_limit_info",
    "retry_batch",
    "send_batch",
    "stream",
    "summary",
    "tidyllm_schema",
    "to_numpy",
    "using",
    "vllm",
    "voyage",
    "wait_batch",
]

_MODULE_OF = {
    "AsyncStream": "client.stream",
    "Job": "client.jobs",
    "LLMMessage": "client.chat",
    "Media": "core.media",
    "Model": "provider",
    "Plan": "client.plan",
    "Preview": "client.preview",
    "Provider": "provider",
    "RunPlan": "client.chat_table",
    "Stream": "client.stream",
    "acancel_batch": "client.batch_watch",
    "achat": "client.chat",
    "acheck_batch": "client.batch_watch",
    "adelete_batch": "client.batch_watch",
    "aembed": "client.embed",
    "afetch_batch": "client.batch",
    "alist_batches": "client.batch_watch",
    "alist_models": "client.models",
    "aretry_batch": "client.batch",
    "asend_batch": "client.batch",
    "astream": "client.stream",
    "await_batch": "client.batch_watch",
    "azure_openai": "providers.azure_openai",
    "cancel_batch": "client.batch_watch",
    "chat": "client.chat",
    "chat_completions": "providers.chat_completions",
    "check_batch": "client.batch_watch",
    "claude": "providers.claude",
    "deepseek": "providers.deepseek",
    "delete_batch": "client.batch_watch",
    "embed": "client.embed",
    "fetch_batch": "client.batch",
    "field_chr": "client.schemas",
    "field_dbl": "client.schemas",
    "field_fct": "client.schemas",
    "field_int": "client.schemas",
    "field_lgl": "client.schemas",
    "field_object": "client.schemas",
    "file": "client.media",
    "gemini": "providers.gemini",
    "groq": "providers.groq",
    "image": "client.media",
    "list_batches": "client.batch_watch",
    "list_models": "client.models",
    "llamacpp": "providers.llamacpp",
    "llm_message": "client.chat",
    "local": "providers.local",
    "mistral": "providers.mistral",
    "nearest": "client.nearest",
    "ollama": "providers.ollama",
    "openai": "providers.openai",
    "openrouter": "providers.openrouter",
    "perplexity": "providers.perplexity",
    "rate_limit_info": "client.limits",
    "retry_batch": "client.batch",
    "send_batch": "client.batch",
    "stream": "client.stream",
    "summary": "client.summary",
    "tidyllm_schema": "client.schemas",
    "to_numpy": "client.nearest",
    "using": "client.calls",
    "vllm": "providers.vllm",
    "voyage": "providers.voyage",
    "wait_batch": "client.batch_watch",
}
"""Where a name lives; what is left are modules."""


# Out of sight of type checkers, which would otherwise believe that every name is there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load a public name."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        if name == "errors":
            return import_module(f"{__name__}.errors")
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
