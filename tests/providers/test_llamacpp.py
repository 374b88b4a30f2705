"""What llama.cpp's server is told."""

import pytest

from tests.providers.bodies import said
from tidyllm.core.errors import SettingError
from tidyllm.providers.llamacpp import llamacpp


def test_every_parameter_has_its_field() -> None:
    options = {"max_tokens": 5, "seed": 7, "stop": ["a"] * 9, "top_k": 40, "effort": "none"}
    assert said("llamacpp", **options) == {
        "max_tokens": 5,
        "seed": 7,
        "stop": ("a",) * 9,
        "top_k": 40,
        "reasoning_effort": "none",
    }


def test_thoughts_cannot_be_left_out_of_an_answer() -> None:
    assert said("llamacpp", thoughts=True) == {}
    with pytest.raises(SettingError, match="thoughts=False"):
        said("llamacpp", thoughts=False)


def test_it_is_on_this_machine_unless_it_is_said_to_be_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LLAMACPP_BASE_URL", raising=False)
    assert llamacpp().base_url == "http://127.0.0.1:8080/v1"
    assert not llamacpp.auth.required
    monkeypatch.setenv("LLAMACPP_BASE_URL", "http://127.0.0.1:9931/v1")
    assert llamacpp().base_url == "http://127.0.0.1:9931/v1"
