"""Messages of the Python face in the words of the command line: `partial=True` is `--partial` here."""

import re
from collections.abc import Collection, Iterable

_SPOKEN = re.compile(
    # What others have written stays: what is quoted, lines that list, names of columns, words of a provider.
    r"(?<!\w)'(?:[^'\\\n]|\\.)*'(?!\w)"
    r'|(?<!\w)"(?:[^"\\\n]|\\.)*"(?!\w)'
    r"|^ {2}.*$"
    r"|\bThe columns are: .*?(?:\.(?=\s)|$)"
    r"|\banswered (?:\d{3}\b|with something else\b)[^:]*: (?s:.*?)(?=, and redirects are not followed|\Z)"
    # A verb, perhaps with the job that it is to be about; not as a part of a path.
    r"|(?<![\w./\\-])(?P<verb>send|list|check|wait|fetch|cancel|retry|delete)_batch(?:es)?"
    r"(?:\('(?P<job>[\w.-]+)'\)|(?![\w(/\\-]|\.\w))"
    # A value of ours as Python shows it: its options are none of the command's.
    r"|\b\w+\([^()]*\)"
    r"|(?<![^\s(])(?P<option>[a-z_]+)=(?:True(?=[\s.,:;)]|$)|(?=[\s.,:;)]|$)|(?P<valued>(?=\S)))",
    re.MULTILINE,
)
_PARTS = re.compile(r"[\s/\\]+")


def in_commands(message: str, *, options: Collection[str], typed: Iterable[str] = ()) -> str:
    """Return a message with the verbs and the options that it names called as the command line calls them.

    A word of what the user has `typed` stays: a file may be called fetch_batch.
    """
    words = {word for argument in typed for word in _PARTS.split(argument)}

    def told(found: re.Match[str]) -> str:
        if found[0] in words:
            return found[0]
        if found["verb"]:
            return " ".join(filter(None, ("tidyllm batch", found["verb"], found["job"])))
        option = f"--{(found['option'] or '').replace('_', '-')}"
        if option not in options:
            return found[0]
        return option if found["valued"] is None else f"{option} "

    return _SPOKEN.sub(told, message)
