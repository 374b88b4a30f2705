"""Providers, models, and what is shown of them."""

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from tidyllm.core.errors import SettingError
from tidyllm.provider import Model, Secret, find_provider, resolve_model
from tidyllm.providers.local import local
from tidyllm.providers.openai import openai

ACME = """
from tidyllm.core.auth import Auth
from tidyllm.dialects.openai.chat import ChatCompletions
from tidyllm.provider import Provider

acme = Provider(
    name="acme",
    docs="https://acme.example/docs",
    base_url="https://api.acme.example/v1",
    auth=Auth(env="ACME_API_KEY"),
    chat=ChatCompletions(),
)
"""


def with_acme(folder: Path, code: str, *, names: str = "acme = acme_models:acme") -> subprocess.CompletedProcess[str]:
    """Run code in a process where a package is installed that adds a provider."""
    (folder / "acme_models.py").write_text(ACME)
    info = folder / "acme_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tidyllm.providers]\n{names}\n")
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_a_provider_gives_a_model() -> None:
    model = openai("m", temperature=0, max_tokens=5, top_p=1, seed=3, stop="END", extra={"verbosity": "low"})
    params = model.params
    assert (model.name, model.provider, model.base_url) == ("m", openai, "https://api.openai.com/v1")
    assert (params.temperature, params.max_tokens, params.top_p, params.seed) == (0.0, 5, 1.0, 3)
    assert (params.stop, params.extra) == (("END",), {"verbosity": "low"})
    assert openai("m", stop=["a", "b"]).params.stop == ("a", "b")


def test_a_model_that_is_not_named_is_the_declared_one() -> None:
    assert openai().chat_name == openai.chat_model
    assert local().name is None


def test_equal_models_are_equal() -> None:
    assert openai("m", temperature=0, api_key="k") == openai("m", temperature=0.0, api_key="k")
    assert openai("m", api_key="k") != openai("m", api_key="l")
    assert hash(Secret("k")) == hash(Secret("k"))
    assert Secret("k") != "k"


def test_a_model_shows_how_it_was_made_but_no_secret() -> None:
    model = openai(
        "m", temperature=0, base_url="https://eu.api.openai.com/v1/", headers={"X-Key": "hush"}, api_key="sk-1"
    )
    assert repr(model) == (
        "openai('m', temperature=0.0, base_url='https://eu.api.openai.com/v1', headers={'X-Key': '…'}, api_key='…')"
    )
    assert repr(openai("m")) == "openai('m')"
    assert repr(local()) == "local()"


def test_no_other_way_of_showing_a_model_tells_its_secrets() -> None:
    model = openai("m", headers={"X-Key": "hush"}, api_key="sk-1")
    console = Console(record=True, width=200)
    with console.capture() as shown:
        console.print(model, {"a": [model]})
    for text in (shown.get(), f"{model}", f"{[model]}", repr(msgspec.structs.asdict(model))):
        assert "hush" not in text
        assert "sk-1" not in text
    with pytest.raises(TypeError):
        msgspec.json.encode(model)


def test_a_model_goes_to_other_processes_with_its_key() -> None:
    model = openai("m", api_key="sk-1")
    assert pickle.loads(pickle.dumps(model)) == model  # noqa: S301 - our own
    assert copy.deepcopy(model) == model


def test_the_site_of_a_model_has_its_headers() -> None:
    site = openai("m", headers={"X-Team": "t"}).site
    assert site.headers == (("X-Team", "t"),)
    assert (site.provider, site.base_url, site.auth) == ("openai", "https://api.openai.com/v1", openai.auth)


def test_an_option_that_there_is_not_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(SettingError, match="Did you mean 'temperature'"):
        openai("m", temprature=0)  # type: ignore[call-arg]
    with pytest.raises(SettingError, match="There is: api, api_key, base_url"):
        openai("m", xyz=0)  # type: ignore[call-arg]


@pytest.mark.parametrize("url", ["api.openai.com/v1", "ftp://x", "https://", "", "https://me:pw@host/v1"])
def test_an_address_that_cannot_be_or_holds_a_password_is_refused(url: str) -> None:
    if not url:
        assert openai("m", base_url=url).base_url == openai.base_url
        return
    with pytest.raises(SettingError, match="base URL") as caught:
        openai("m", base_url=url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Model, "Encoding objects of type"),
        ({"schema": {"type": object()}}, "Encoding objects of type"),
        ({None: 1}, "Only dicts with"),
        ("\ud800", "surrogates"),
    ],
)
def test_an_extra_field_that_no_request_can_hold_is_refused_by_its_name(value: object, reason: str) -> None:
    with pytest.raises(SettingError, match=rf"extra= .* 'response_format'.*{reason}"):
        openai("m", extra={"response_format": value})


def test_the_local_server_can_be_moved_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDYLLM_BASE_URL", "http://gpu:9/v1")
    assert local("m").base_url == "http://gpu:9/v1"
    assert local("m", base_url="http://other/v1").base_url == "http://other/v1"
    assert openai("m").base_url == "https://api.openai.com/v1"


def test_a_word_stands_for_a_model() -> None:
    assert resolve_model("openai/gpt-x") == openai("gpt-x")
    assert resolve_model("openai") == openai()
    assert resolve_model("local/org/model") == local("org/model")
    assert resolve_model(openai("m")) == openai("m")


def test_an_unknown_provider_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(SettingError, match=r"no provider 'opnai'\. Did you mean 'openai'"):
        resolve_model("opnai/m")
    with pytest.raises(SettingError, match=r"There is: .*local, .*openai"):
        find_provider("../x")


def test_an_installed_package_adds_a_provider(tmp_path: Path) -> None:
    done = with_acme(tmp_path, "import tidyllm; print(tidyllm.chat('Hi', 'acme/m', dry_run=True))")
    assert done.stderr == ""
    assert done.stdout.startswith("POST https://api.acme.example/v1/chat/completions\nauthorization: Bearer …\n")
    assert '"model": "m"' in done.stdout


def test_an_added_provider_is_among_those_that_a_misspelt_one_is_compared_with(tmp_path: Path) -> None:
    done = with_acme(tmp_path, "import tidyllm; tidyllm.chat('Hi', 'acmee/m')")
    assert "There is no provider 'acmee'. Did you mean 'acme'?" in done.stderr


def test_a_package_that_adds_something_else_is_told_so_and_cannot_take_the_place_of_ours(tmp_path: Path) -> None:
    code = "from tidyllm.provider import find_provider; print(find_provider('openai').base_url); find_provider('acme')"
    done = with_acme(tmp_path, code, names="acme = acme_models:Auth\nopenai = acme_models:acme")
    assert done.stdout == "https://api.openai.com/v1\n"
    assert "What an installed package adds as the provider 'acme' is none" in done.stderr


def test_a_provider_that_was_not_called_says_so() -> None:
    with pytest.raises(SettingError, match=r"Call the provider .* openai\(\)"):
        resolve_model(openai)  # type: ignore[arg-type]
    assert isinstance(openai(), Model)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(SettingError, match="timeout_s= must be a number above 0"):
        openai(timeout_s=seconds)


def test_an_api_that_there_is_not_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(SettingError, match=r"openai has no API 'chat'\..*chat_completions"):
        openai(api="chat")


def test_what_was_chosen_is_shown() -> None:
    model = openai("m", timeout_s=5, api="chat_completions")
    assert repr(model) == "openai('m', timeout_s=5, api='chat_completions')"
    assert model.site.timeout_s == 5


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"temperature": "warm"}, "temperature"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 5.5}, "max_tokens"),
        ({"stop": [1]}, "stop"),
        ({"stop": 1}, "stop"),
        ({"effort": "huge"}, "huge"),
        ({"thoughts": "yes"}, "thoughts"),
        ({"extra": "fields"}, "extra"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_at_once(options: dict[str, object], told: str) -> None:
    make: Callable[..., Model] = openai
    with pytest.raises(SettingError, match=f"cannot have: .*{told}"):
        make(**options)


def test_a_whole_number_and_numbers_of_other_libraries_are_numbers() -> None:
    params = openai(temperature=0, top_p=Fraction(1, 2), stop=["a"], logprobs=False).params  # type: ignore[arg-type]
    assert (params.temperature, params.top_p, params.stop, params.logprobs) == (0.0, 0.5, ("a",), None)
    assert isinstance(params.temperature, float)
    assert openai(logprobs=True).params.logprobs == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"api_key": 123}, "api_key= must be a text"),
        ({"headers": [("a", "b")]}, "headers= must be names and values"),
        ({"headers": {"a": None}}, "'a' has something else"),
        ({"timeout_s": "5"}, "timeout_s= must be a number"),
        ({"timeout_s": 1e300}, "timeout_s= must be a number"),
        ({"base_url": 5}, "base_url= must be a text"),
        ({"stop": "\ud800"}, "stop= holds half a character"),
        ({"model": "\ud800"}, "name holds half a character"),
        ({"model": 5}, "name must be a text"),
        ({"temperature": float("inf")}, "temperature= cannot be inf"),
        ({"extra": {"a": [{"b": float("nan")}]}}, "infinite, or none at all"),
        ({"extra": {"a": object()}}, "cannot be written as JSON"),
    ],
)
def test_what_no_request_can_hold_is_refused_at_once(options: dict[str, object], told: str) -> None:
    make: Callable[..., Model] = openai
    with pytest.raises(SettingError, match=told):
        make(**options)


def test_what_is_no_provider_is_refused() -> None:
    with pytest.raises(SettingError, match="A provider is wanted"):
        resolve_model(None)  # type: ignore[arg-type]


def test_null_is_a_value_of_a_field_of_one_s_own() -> None:
    assert openai(extra={"a": None}).params.extra == {"a": None}


def test_models_can_be_kept_in_a_set() -> None:
    assert len({openai("m"), openai("m"), openai("n"), openai("m", temperature=0)}) == 3


def test_a_provider_that_cannot_be_loaded_says_whose_it_is(tmp_path: Path) -> None:
    code = "from tidyllm.provider import find_provider; find_provider('acme')"
    done = with_acme(tmp_path, code, names="acme = acme_modles:acme")
    assert "The provider 'acme' of an installed package cannot be loaded from acme_modles:acme" in done.stderr
