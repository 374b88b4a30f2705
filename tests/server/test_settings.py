from pathlib import Path

import pytest

from tidyllm.core.errors import SettingError
from tidyllm.server.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, path: Path = Path("tidyllm.toml")) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_nothing_set_gives_the_defaults() -> None:
    assert load_settings({}, environ={}) == Settings()


def test_given_beats_environment_beats_file_beats_default() -> None:
    write("[server]\nport = 1\nworkers = 2\nconcurrency = 3\n")
    settings = load_settings({"port": 10}, environ={"TIDYLLM_PORT": "20", "TIDYLLM_WORKERS": "21"})
    assert (settings.port, settings.workers, settings.concurrency) == (10, 21, 3)
    assert settings.attempts_max == Settings().attempts_max


def test_none_is_not_given() -> None:
    assert load_settings({"port": None}, environ={"TIDYLLM_PORT": "20"}).port == 20


def test_words_of_the_environment_are_read_as_what_they_stand_for() -> None:
    environ = {"TIDYLLM_DATA": "some/folder", "TIDYLLM_TICK_S": "0.5", "TIDYLLM_HOST": "8"}
    settings = load_settings({}, environ=environ)
    assert (settings.data, settings.tick_s, settings.host) == (Path("some/folder"), 0.5, "8")


def test_data_may_be_given_as_a_path() -> None:
    assert load_settings({"data": Path("x")}, environ={}).data == Path("x")


def test_other_variables_with_our_prefix_are_no_error() -> None:
    environ = {"TIDYLLM_UPSTREAM_KEY": "secret", "TIDYLLM_PROT": "1", "TIDYLLM_HOME": "x"}
    assert load_settings({}, environ=environ) == Settings()


def test_bad_value_names_the_setting_and_where_it_is() -> None:
    with pytest.raises(SettingError, match=r"`port` \(the environment\).*'many'"):
        load_settings({}, environ={"TIDYLLM_PORT": "many"})
    with pytest.raises(SettingError, match=r"`workers` \(other.toml, \[server\]\).*1.5"):
        load_settings({}, file=write("[server]\nworkers = 1.5\n", Path("other.toml")), environ={})
    with pytest.raises(SettingError, match=r"`data` \(what was given\).*path of a folder"):
        load_settings({"data": 3}, environ={})


def test_bad_value_is_refused_even_where_another_beats_it() -> None:
    write("[server]\nport = 'many'\n")
    with pytest.raises(SettingError, match=r"`port` \(tidyllm.toml"):
        load_settings({"port": 1}, environ={})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", 0),
        ("workers", True),
        ("concurrency", -1),
        ("upload_bytes_max", 0),
        ("port", -1),
        ("port", 65_536),
        ("tick_s", -0.1),
        ("tick_s", "nan"),
        ("data", ""),
    ],
)
def test_value_out_of_range_is_refused(name: str, value: object) -> None:
    with pytest.raises(SettingError, match=f"`{name}`"):
        load_settings({name: value}, environ={})


def test_unknown_setting_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(SettingError, match=r"no setting `prot` \(what was given\): did you mean `port`"):
        load_settings({"prot": 1}, environ={})
    write("[server]\nconcurency = 4\n")
    with pytest.raises(SettingError, match=r"no setting `concurency` \(tidyllm.toml, .* did you mean `concurrency`"):
        load_settings({}, environ={})


def test_unknown_setting_that_is_near_to_none_is_answered_with_all() -> None:
    with pytest.raises(SettingError, match=r"there are host, port, .*tick_s"):
        load_settings({"zzzzzz": 1}, environ={})


def test_other_tables_of_the_file_are_not_ours() -> None:
    write("[client]\nport = 3\n")
    assert load_settings({}, environ={}) == Settings()


def test_named_file_is_read_in_place_of_the_one_in_this_folder(here: Path) -> None:
    write("[server]\nport = 1\n")
    assert load_settings({}, file=write("[server]\nport = 2\n", here / "other.toml"), environ={}).port == 2


def test_named_file_must_exist(here: Path) -> None:
    with pytest.raises(SettingError, match=r"no settings file .*other.toml"):
        load_settings({}, file=here / "other.toml", environ={})


@pytest.mark.parametrize("content", [b"[server", b"\xff\xfe"])
def test_file_that_is_not_toml_is_refused(here: Path, content: bytes) -> None:
    (here / "tidyllm.toml").write_bytes(content)
    with pytest.raises(SettingError, match=r"tidyllm.toml is not TOML"):
        load_settings({}, environ={})


def test_server_must_be_a_table() -> None:
    write("server = 3\n")
    with pytest.raises(SettingError, match="is not a table"):
        load_settings({}, environ={})


def test_a_settings_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read"):
        load_settings({}, file=tmp_path)
