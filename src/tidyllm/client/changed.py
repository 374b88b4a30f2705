"""Other content under the name of a job: what has changed since, in words."""

from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import TypeAlias

import msgspec

from tidyllm.client.jobs import JobRecord, job_key
from tidyllm.core.errors import JobChangedError

FirstDifference: TypeAlias = Callable[[], str | None]
"""Says where the first difference is between what is asked now and what the job's folder holds, if that is known."""
_SHOWN_CHARACTERS = 60
_LED_IN_CHARACTERS = 20
"""So much of what two long texts have in common is shown before that in which they differ."""
_SOURCES = frozenset({"prompt", "system", "media", "columns", "data"})
"""Parts that what is asked is made of."""


def refuse_change(old: JobRecord, parts: Mapping[str, str], *, where: FirstDifference = lambda: None) -> None:
    """Raise JobChangedError, saying in which parts and how, unless the content of a job is the same as before."""
    if old.key == job_key(parts):
        return
    changed = [part for part in dict.fromkeys((*old.parts, *parts)) if old.parts.get(part) != parts.get(part)]
    differences = {part: _difference(part, old.parts, new=parts, where=where) for part in changed}
    listed = "\n".join(f"  {name}: {difference}" for name, difference in differences.items())
    raise JobChangedError(
        f"The job {old.name!r} exists with other content:\n{listed}\nGive this one another name.",
        name=old.name,
        differences=differences,
    )


def _difference(part: str, old: Mapping[str, str], *, new: Mapping[str, str], where: FirstDifference) -> str:
    if part not in old or part not in new:
        return f"was {_shown(old.get(part))}, now {_shown(new.get(part))}"
    if part == "columns":
        return _columns(old[part], new[part])
    if part == "data":
        return _data(old, new, first=where())
    if part == "asked":
        return _asked(old, new, where=where)
    if part == "requests":
        return "other lines than then"
    was, now = apart(old[part], new[part])
    return f"was {was}, now {now}"


def apart(was: str, now: str) -> tuple[str, str]:
    """Return two texts that differ as they are shown: long ones from shortly before the place where they do."""
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(was, now, strict=False))
    start = max(sum(1 for _ in alike) - _LED_IN_CHARACTERS, 0)
    return _shown(was, start=start), _shown(now, start=start)


def _columns(old: str, new: str) -> str:
    was, now = (msgspec.json.decode(columns, type=list[str]) for columns in (old, new))
    words = {
        "added": [repr(name) for name in now if name not in was],
        "gone": [repr(name) for name in was if name not in now],
    }
    return "; ".join(f"{', '.join(names)} {word}" for word, names in words.items() if names) or "in another order"


def _data(old: Mapping[str, str], new: Mapping[str, str], *, first: str | None) -> str:
    """Say how rows differ of which a job's record has the hash alone."""
    told = None
    if all(old.get(part) == new.get(part) for part in ("rows", "columns")):
        told = "the same shape with other values"
    elif old.get("rows") != new.get("rows") and first is not None:
        told = f"{int(old['rows']):,} rows then, {int(new['rows']):,} now"
    return "; ".join(filter(None, (told, first))) or "other than then"


def _asked(old: Mapping[str, str], new: Mapping[str, str], *, where: FirstDifference) -> str:
    if any(old.get(part) != new.get(part) for part in _SOURCES):
        return "other too: it is made of these"
    first = None if "data" in new else where()
    if first is not None:
        return f"other than then; {first}"
    return "other than then: what a function made, what files held, or what a list says"


def _shown(part: str | None, *, start: int = 0) -> str:
    """Return a part as it is shown, where it is long from shortly before the place at which it differs."""
    if part is None:
        return "absent"
    if len(part) <= _SHOWN_CHARACTERS:
        return part
    shown = part[start : start + _SHOWN_CHARACTERS]
    return f"{'…' if start else ''}{shown}{'…' if start + _SHOWN_CHARACTERS < len(part) else ''}"
