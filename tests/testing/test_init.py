import subprocess
import sys

import pytest

import tidyllm.testing
from tidyllm.testing import Behavior

WITHOUT_HTTPTOOLS = """
import sys
sys.modules["httptools"] = None
from tidyllm.core.errors import SettingError
from tidyllm.testing import Behavior, ManualClock, play
try:
    from tidyllm.testing import simulated_model
except SettingError as error:
    print(error)
"""


def test_every_name_is_there() -> None:
    assert tidyllm.testing.__all__ == sorted(tidyllm.testing.__all__, key=str)
    assert dir(tidyllm.testing) == tidyllm.testing.__all__
    assert all(getattr(tidyllm.testing, name) for name in tidyllm.testing.__all__)
    assert tidyllm.testing.Behavior is Behavior


def test_no_other_name_is_there() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        tidyllm.testing.nothing  # type: ignore[attr-defined]  # noqa: B018 - the look-up is the test


def test_without_the_server_s_libraries_the_rest_works_and_the_model_says_what_to_install() -> None:
    ended = subprocess.run([sys.executable, "-c", WITHOUT_HTTPTOOLS], capture_output=True, text=True, check=True)
    assert 'pip install "tidyllm[server]"' in ended.stdout


def test_importing_it_loads_no_server_library() -> None:
    code = "import sys, tidyllm.testing; print(sorted({'httptools', 'uvloop', 'asyncio'} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
