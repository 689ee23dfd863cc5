"""Values of an experiment's settings: named variants, and what each of them sets."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from csd.values import list_of, text

# What an experiment trains. `warm`: method student, starting from the teacher's channels.
EXPERIMENT_METHODS = ("student", "warm", "joint", "csd")
# What its variants may differ in; everything else is the budget that they share.
_EXPERIMENT_SECTIONS = ("loss", "optim")


def suggest(name: str, known: Sequence[str]) -> str:
    """`; did you mean NAME?`, or all the known names."""
    close = difflib.get_close_matches(name, known, 1, 0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def overrides(sections: Callable[[], Mapping[str, Mapping[str, Any]]]) -> Callable:
    """`section.key: value` pairs of an experiment's sections, each value as its key parses it.

    Args:
        sections: gives the table of settings, which holds what is made here.
    """

    def parse(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError("must hold `section.key: value` pairs")
        found = {}
        for dotted, entry in value.items():
            section, _, name = str(dotted).partition(".")
            if section not in _EXPERIMENT_SECTIONS or not name:
                raise ValueError(
                    f"may set keys of {' and '.join(_EXPERIMENT_SECTIONS)}, which {dotted!r} is not"
                )
            if name not in sections()[section]:
                raise ValueError(
                    f"has the unknown key {dotted}{suggest(name, list(sections()[section]))}"
                )
            try:
                found[f"{section}.{name}"] = sections()[section][name].parse(entry)
            except ValueError as error:
                raise ValueError(f"has {dotted} which {error}") from None
        return found

    return parse


def chosen(names: str, known: Mapping[str, dict]) -> dict[str, dict | None]:
    """Variants by name, as the command line has them: those of the file, else the methods."""
    return {name: known.get(name) for name in list_of(text)(names)}


def variants(parse_overrides: Callable) -> Callable:
    """Named variants in order: names alone, or `name: {method: base, section.key: value}`."""

    def parse(value: Any) -> dict[str, dict]:
        if isinstance(value, (str, list, tuple)):
            value = dict.fromkeys(list_of(text)(value))
        if not isinstance(value, dict) or not value:
            raise ValueError("must name variants")
        found = {}
        for name, entry in value.items():
            if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", str(name)):
                raise ValueError("must have names of letters, digits, '_', '-' and '.'")
            entry = dict(entry) if isinstance(entry, dict) else {"method": entry or name}
            old = entry.pop("recipe", name)  # as the key was once called
            base = str(entry.pop("method", old))
            if base not in EXPERIMENT_METHODS:
                hint = suggest(base, EXPERIMENT_METHODS)
                raise ValueError(f"{name} needs `method:` with a known method, not {base!r}{hint}")
            try:
                found[str(name)] = {"method": base, **parse_overrides(entry)}
            except ValueError as error:
                raise ValueError(f"{name} {error}") from None
        return found

    return parse
