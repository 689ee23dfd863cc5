"""From the text or YAML value of a setting to its value; a ValueError says what it must be."""

import math
from collections.abc import Callable
from typing import Any


def number(kind: type, low: float | None = None, high: float | None = None) -> Callable:
    """A finite int or float of at least `low` and at most `high`."""

    def parse(value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("must be a number")
        try:
            found = kind(float(value)) if kind is int else kind(value)
            whole = kind is not int or float(value) == found
        except (TypeError, ValueError, OverflowError):
            whole = False
        if not whole:
            raise ValueError("must be a whole number" if kind is int else "must be a number")
        if not math.isfinite(found):
            raise ValueError("must be a finite number")
        if low is not None and found < low:
            raise ValueError(f"must be at least {low}")
        if high is not None and found > high:
            raise ValueError(f"must be at most {high}")
        return found

    return parse


def choice(*names: str) -> Callable:
    """One of `names`."""

    def parse(value: Any) -> str:
        if str(value) not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return str(value)

    return parse


def scale_factor(value: Any) -> int:
    """2, 3 or 4."""
    if str(value) not in ("2", "3", "4"):
        raise ValueError("must be 2, 3 or 4")
    return int(value)


def text(value: Any) -> str:
    """Any text; none is empty."""
    if isinstance(value, (list, dict, set)):
        raise ValueError("must be text")
    return "" if value is None else str(value)


def word(value: Any) -> str:
    """Text that is not empty."""
    if not text(value).strip():
        raise ValueError("must not be empty")
    return text(value)


def boolean(value: Any) -> bool:
    """true, yes, on, 1 or their opposites."""
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "1", "yes", "on"):
        return True
    if str(value).lower() in ("false", "0", "no", "off"):
        return False
    raise ValueError("must be true or false")


def list_of(item: Callable, high: int = 100) -> Callable:
    """A list, or `A,B`, of what `item` parses, at most `high` of them."""

    def parse(value: Any) -> list:
        if isinstance(value, str):
            value = [part for part in value.strip("[]() ").split(",") if part.strip()]
        items = value if isinstance(value, (list, tuple)) else [value]
        if len(items) > high:
            raise ValueError(f"must be a list of at most {high}")
        return [item(part.strip() if isinstance(part, str) else part) for part in items]

    return parse


def optional(item: Callable) -> Callable:
    """None where nothing is given, else what `item` parses."""

    def parse(value: Any) -> Any:
        return None if value is None or value == "" else item(value)

    return parse
