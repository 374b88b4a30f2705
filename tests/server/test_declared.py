"""The `[[upstream]]` tables of the settings file: what they mean, and how each mistake in them is told."""

from pathlib import Path

import pytest

from tidyllm.core.auth import Auth
from tidyllm.core.errors import SettingError
from tidyllm.server.declared import UpstreamSettings
from tidyllm.server.settings import Settings, load_settings

A = "[[upstream]]\nname = 'a'\nbase_url = 'http://a/v1'\n"
B = A.replace("a'", "b'", 1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "our.toml"


def load(file: Path, text: str, *, environ: dict[str, str] | None = None, **given: object) -> Settings:
    file.write_text(text, encoding="utf-8")
    return load_settings(given, file=file, environ=environ or {})


def test_each_table_is_an_upstream_in_the_order_of_the_file(file: Path) -> None:
    text = """
        [[upstream]]
        name = "b"
        base_url = "http://b:1/v1/"
        models = ["m-1", "gpt-*"]
        key_env = "B_KEY"
        max_concurrency = 8
        rpm = 60
        tpm = 1000.5
    """
    assert load(file, text + A, workers=8).upstreams == (
        UpstreamSettings(
            name="b",
            base_url="http://b:1/v1",
            models=("m-1", "gpt-*"),
            key_env="B_KEY",
            max_concurrency=8,
            rpm=60,
            tpm=1000.5,
        ),
        UpstreamSettings(name="a", base_url="http://a/v1"),
    )


def test_where_none_is_declared_there_is_one_of_the_settings(file: Path) -> None:
    settings = load(file, "[server]\nupstream = 'http://x/v1/'\n", environ={"TIDYLLM_UPSTREAM_KEY_ENV": "X_KEY"})
    assert settings.upstreams == (UpstreamSettings(name="default", base_url="http://x/v1", key_env="X_KEY"),)
    assert [each.base_url for each in Settings().upstreams] == [Settings().upstream]


def test_models_are_names_or_patterns_and_case_matters() -> None:
    upstream = UpstreamSettings(name="a", base_url="http://a/v1", models=("m", "gpt-*"))
    found = {name: upstream.takes(name) for name in ("m", "M", "m1", "gpt-", "gpt-5/mini", "my-gpt-5", "")}
    assert [name for name, taken in found.items() if taken] == ["m", "gpt-", "gpt-5/mini"]
    assert UpstreamSettings(name="a", base_url="http://a/v1").takes("anything/at all")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (A + "url = 'x'\n", r"no field `url` \(.*our.toml, \[\[upstream\]\] 'a'\): there are name, base_url, models"),
        (A + "model = ['x']\n", r"no field `model` \(.*'a'\): did you mean `models`\?"),
        ("[[upstream]]\nbase_url = 'http://a/v1'\n", r"our.toml, \[\[upstream\]\] 1, `name` is missing"),
        (A + "[[upstream]]\nname = 'b'\n", r"our.toml, \[\[upstream\]\] 'b', `base_url` is missing"),
        (A + A, r"our.toml, two \[\[upstream\]\] tables have the `name` 'a'"),
        (A + A.replace("http://", ""), r"\[\[upstream\]\] 'a', `base_url` must be like http://.*, and not 'a/v1'"),
        (A.replace("a'", "'", 1), r"`name` \(.*\[\[upstream\]\] 1\) is wrong"),
        (A.replace("name = 'a'", "name = 3"), r"`name` \(.*\[\[upstream\]\] 1\) is wrong: Expected `str`.*is 3"),
        (A + "models = []\n", r"`models` \(.*'a'\) is wrong: .*length >= 1.*is \[\]"),
        (A + "models = ['']\n", r"`models` \(.*'a'\) is wrong"),
        (A + "models = 'm'\n", r"`models` \(.*'a'\) is wrong: Expected `array`.*is 'm'"),
        (A + "max_concurrency = 0\n", r"`max_concurrency` \(.*'a'\) is wrong: .*is 0"),
        (A + "max_concurrency = 1.5\n", r"`max_concurrency` \(.*'a'\) is wrong: .*is 1.5"),
        (A + "rpm = 0\n", r"`rpm` \(.*'a'\) is wrong: .*is 0"),
        (A + "tpm = -1.0\n", r"`tpm` \(.*'a'\) is wrong: .*is -1.0"),
        (A + "tpm = '5'\n", r"`tpm` \(.*'a'\) is wrong: .*is '5'"),
        ("upstream = 'http://a/v1'\n", r"our.toml, `upstream` is not a list of tables: .*\[\[upstream\]\]"),
        (A.replace("[[upstream]]", "[upstream]"), r"`upstream` is not a list of tables"),
        ("upstream = []\n", r"`upstream` is not a list of tables"),
        (
            "[server]\nupstream = 'http://b/v1'\n" + A,
            r"`upstream` \(.*our.toml, \[server\]\).*leave one",
        ),
        ("[server]\nupstream_key_env = 'K'\n" + A, r"`upstream_key_env` \(.*leave one of the two out"),
        ("[server]\nupstreams = []\n", r"no setting `upstreams`"),
        (A.replace("upstream", "upstreams"), r"no table `upstreams` \(.*our.toml\): did you mean `upstream`\?"),
    ],
)
def test_a_mistake_is_told_with_file_table_and_field(file: Path, text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        load(file, text)


def test_one_upstream_from_elsewhere_does_not_go_with_tables(file: Path) -> None:
    with pytest.raises(SettingError, match=r"`upstream` \(what was given\).*our.toml has \[\[upstream\]\] tables"):
        load(file, A, upstream="http://b/v1")
    with pytest.raises(SettingError, match=r"`upstream` \(the environment\)"):
        load(file, A, environ={"TIDYLLM_UPSTREAM": "http://b/v1"})
    assert load(file, A + B, upstream=None).upstream == Settings().upstream


def test_an_upstream_whose_table_names_no_key_is_sent_none(file: Path) -> None:
    # The usual variable may hold the key of another place.
    (upstream,) = load(file, A, environ={"TIDYLLM_UPSTREAM_KEY": "secret"}).upstreams
    assert upstream.auth is None
    assert Settings().upstreams[0].auth == Auth(env="TIDYLLM_UPSTREAM_KEY", required=False)


def test_a_base_url_that_holds_a_secret_is_refused_and_not_shown(file: Path) -> None:
    with pytest.raises(SettingError, match="`base_url` must not hold a user or a password") as refused:
        load(file, A.replace("http://a", "http://me:secret@a"))
    assert "secret" not in str(refused.value)


def test_every_worker_must_get_a_part(file: Path) -> None:
    text = A + "max_concurrency = 3\n"
    assert load(file, text, workers=3).workers == 3
    with pytest.raises(SettingError, match=r"our.toml, \[\[upstream\]\] 'a', `max_concurrency` is 3, .*`workers`"):
        load(file, text, environ={"TIDYLLM_WORKERS": "4"})
