"""The public names, and what it costs to import them."""

import subprocess
import sys

import pytest

import tidyllm
from tidyllm import errors
from tidyllm.core import errors as core_errors
from tidyllm.provider import provider_names

FACE = [
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
HEAVY = {"polars", "narwhals", "numpy", "pandas", "pyarrow", "pyreqwest", "rich", "fastapi", "sqlalchemy", "typer"} | {
    *("genai_prices", "httpx", "httpx2", "openai", "pydantic")
}


def modules_after(code: str) -> set[str]:
    """Return the libraries that a fresh process has loaded after this code."""
    told = f"{code}\nimport sys; print(' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_the_face_is_what_was_agreed() -> None:
    assert tidyllm.__all__ == FACE
    assert sorted(FACE) == FACE
    assert dir(tidyllm) == FACE


@pytest.mark.parametrize("name", FACE)
def test_every_name_is_there(name: str) -> None:
    value = getattr(tidyllm, name)
    assert value is getattr(tidyllm, name)
    if callable(value) and name not in provider_names():
        assert value.__name__ == name


def test_a_name_that_is_not_there_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tidyllm.nothing  # type: ignore[attr-defined]


def test_importing_the_package_imports_almost_nothing() -> None:
    bare = modules_after("import importlib, typing")
    assert modules_after("import tidyllm") - bare == {"tidyllm"}


def test_naming_verbs_and_providers_loads_no_table_library_and_no_network() -> None:
    loaded = modules_after(
        "from tidyllm import chat, embed, list_models, nearest, openai, local, send_batch, list_batches, fetch_batch"
    )
    assert not HEAVY & loaded
    assert not HEAVY & modules_after("from tidyllm.compat import last_reply; from tidyllm.testing import play, record")


def test_every_error_has_a_public_name() -> None:
    kinds = {
        name
        for name, value in vars(core_errors).items()
        if isinstance(value, type) and issubclass(value, core_errors.TidyllmError)
    }
    assert set(errors.__all__) == kinds
    assert errors.__all__ == sorted(errors.__all__)
    assert tidyllm.errors is errors
