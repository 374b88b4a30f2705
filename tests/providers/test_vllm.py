"""What vLLM is told."""

import pytest

from tests.providers.bodies import said
from tidyllm.providers.vllm import vllm


def test_every_parameter_has_its_field() -> None:
    options = {"max_tokens": 5, "seed": 7, "stop": ["a"] * 9, "top_k": -1, "logprobs": True, "presence_penalty": 1}
    assert said("vllm", **options) == {
        "max_tokens": 5,
        "seed": 7,
        "stop": ("a",) * 9,
        "top_k": -1,
        "logprobs": True,
        "top_logprobs": 0,
        "presence_penalty": 1.0,
    }


@pytest.mark.parametrize("effort", ["none", "minimal", "low", "medium", "high", "xhigh", "max"])
def test_every_effort_has_its_word(effort: str) -> None:
    assert said("vllm", effort=effort) == {"reasoning_effort": effort}


@pytest.mark.parametrize("thoughts", [True, False])
def test_thoughts_are_told_or_not(*, thoughts: bool) -> None:
    assert said("vllm", thoughts=thoughts) == {"include_reasoning": thoughts}


def test_it_is_on_this_machine_unless_it_is_said_to_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_BASE_URL", raising=False)
    assert vllm().base_url == "http://127.0.0.1:8000/v1"
    assert not vllm.auth.required
    monkeypatch.setenv("VLLM_BASE_URL", "http://gpu.example:8000/v1")
    assert vllm().base_url == "http://gpu.example:8000/v1"
