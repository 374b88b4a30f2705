"""What the families of Gemini's models take."""

import pytest

from tidyllm.core.errors import SettingError
from tidyllm.core.message import Conversation, UserTurn
from tidyllm.core.params import Effort, Params
from tidyllm.providers.gemini import gemini

ASK = Conversation(turns=(UserTurn("Hi"),))


def thinking(model: str, effort: Effort) -> object:
    """Return how a model of that name is told how much to think."""
    assert gemini.chat is not None
    body = gemini.chat.body(model, ASK, params=Params(effort=effort))
    config = body["generationConfig"]
    assert isinstance(config, dict)
    return config["thinkingConfig"]


@pytest.mark.parametrize(
    ("model", "effort", "said"),
    [
        ("gemini-3.8-flash", "low", {"thinkingLevel": "low"}),
        ("models/gemini-3.5-flash-lite", "minimal", {"thinkingLevel": "minimal"}),
        ("gemini-3.1-pro-preview", "medium", {"thinkingLevel": "medium"}),
        ("gemini-4-carbon", "high", {"thinkingLevel": "high"}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("models/gemini-2.5-flash-lite", "low", {"thinkingBudget": 1024}),
        ("gemini-2.5-pro", "high", {"thinkingBudget": 24_576}),
    ],
)
def test_effort_is_a_level_or_for_older_models_a_budget(model: str, effort: Effort, said: object) -> None:
    assert thinking(model, effort) == said


@pytest.mark.parametrize(
    ("model", "effort"),
    [
        ("gemini-3.5-flash", "none"),
        ("gemini-3.7-flash", "minimal"),
        ("models/gemini-4-carbon", "minimal"),
        ("gemini-3-pro-preview", "medium"),
        ("gemini-2.5-pro", "none"),
        ("gemini-2.5-flash", "max"),
    ],
)
def test_an_effort_that_a_family_lacks_is_refused(model: str, effort: Effort) -> None:
    with pytest.raises(SettingError, match="takes no effort="):
        thinking(model, effort)


def test_the_key_goes_into_its_own_header_and_the_address_may_move(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (gemini.auth.header, gemini.auth.prefix) == ("x-goog-api-key", "")
    assert (gemini.auth.env, gemini.auth.env_also) == ("GOOGLE_API_KEY", ("GEMINI_API_KEY",))
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "https://proxy.example/")
    assert gemini().base_url == "https://proxy.example/v1beta"
