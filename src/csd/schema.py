"""What a file that somebody may have changed must hold: a table of checks, held once, when read.

    DESCRIPTION = table({"scale": integer(1, 16), "width": number(0, 1)})
    DESCRIPTION({"scale": -1})  # ValueError: 'scale' must be a whole number from 1 to 16, not -1

A check takes a value and where it stands ("'input.shape'") and raises ValueError, one sentence.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from csd.errors import shown

Check = Callable[..., None]


def anything(value: Any, where: str = "it") -> None:
    """Every value."""


def number(low: float | None = None, high: float | None = None) -> Check:
    """A finite int or float, no bool."""
    return _numeric((int, float), "a number", low, high)


def integer(low: int | None = None, high: int | None = None) -> Check:
    """An int, no bool."""
    return _numeric((int,), "a whole number", low, high)


def _numeric(kinds: tuple, name: str, low: float | None, high: float | None) -> Check:
    least = "" if low is None else f" from {low:g}" if high is not None else f" of at least {low:g}"
    most = "" if high is None else f" to {high:g}" if low is not None else f" of at most {high:g}"

    def check(value: Any, where: str = "it") -> None:
        fits = isinstance(value, kinds) and not isinstance(value, bool)
        fits = fits and (isinstance(value, int) or math.isfinite(value))
        if not fits or (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(f"{where} must be {name}{least}{most}, not {shown(value)}")

    return check


def text(limit: int = 1000) -> Check:
    """A string of at most `limit` characters."""

    def check(value: Any, where: str = "it") -> None:
        if not isinstance(value, str) or len(value) > limit:
            raise ValueError(f"{where} must be text, not {shown(value)}")

    return check


def boolean(value: Any, where: str = "it") -> None:
    """true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{where} must be true or false, not {shown(value)}")


def optional(item: Check) -> Check:
    """None, or what `item` takes."""

    def check(value: Any, where: str = "it") -> None:
        if value is not None:
            item(value, where)

    return check


def array(item: Check, low: int = 0, high: int = 100_000) -> Check:
    """A list of `low` to `high` items."""

    def check(value: Any, where: str = "it") -> None:
        if not isinstance(value, list | tuple) or not low <= len(value) <= high:
            count = f"{low}" if low == high else f"{low} to {high}"
            raise ValueError(f"{where} must be a list of {count} items, not {shown(value)}")
        for place, entry in enumerate(value):
            item(entry, _inside(where, f"[{place}]"))

    return check


def mapping(item: Check, high: int = 100_000) -> Check:
    """A table of any names, at most `high`, each with what `item` takes."""

    def check(value: Any, where: str = "it") -> None:
        if not isinstance(value, Mapping) or len(value) > high:
            raise ValueError(f"{where} must be a table of names and values, not {shown(value)}")
        for name, entry in value.items():
            text()(name, f"a name in {where}")
            item(entry, _inside(where, name))

    return check


def table(required: Mapping[str, Check], more: Mapping[str, Check] | None = None) -> Check:
    """A table that has the required names; names that neither mapping knows may hold anything."""

    def check(value: Any, where: str = "it") -> None:
        mapping(anything)(value, where)
        for name, item in required.items():
            if name not in value:
                raise ValueError(f"{_inside(where, name)} is missing")
            item(value[name], _inside(where, name))
        for name, item in (more or {}).items():
            if name in value:
                item(value[name], _inside(where, name))

    return check


def _inside(where: str, name: str) -> str:
    if where == "it":
        return shown(name)
    return f"{where[:-1]}{name}'" if name.startswith("[") else f"{where[:-1]}.{name[:60]}'"
