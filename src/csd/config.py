"""YAML file + command line -> a validated EasyDict of every setting of `csd.settings`.

A config is a YAML file of sections; any key of it may be given as `--section.key=value`. Keys that
people type often have a short flag as well, on the programs named with it. Later wins: default,
then file, then command line. This module imports nothing heavy, so that `--help` answers at once.
"""

import argparse
import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from easydict import EasyDict

from csd.errors import InputError, shown
from csd.files import exists, read_text, write_text
from csd.settings import SCHEMA, SECTIONS
from csd.values import boolean
from csd.variants import chosen, suggest

# Keys that had another name once: old name -> new name, within a section; and sections.
RENAMED = {
    "train": {"iterations": "steps_per_epoch", "recipe": "method"},
    "experiment": {"recipes": "variants"},
}
_RENAMED_SECTIONS = {"lab": "experiment"}

_MAX_TEXT = 1 << 20  # characters of a configuration
_MAX_VALUES = 10_000


def defaults() -> EasyDict:
    """Every key at its default."""
    return EasyDict(
        {
            section: {name: copy.deepcopy(k.default) for name, k in keys.items()}
            for section, keys in SCHEMA.items()
        }
    )


def renamed(content: Mapping) -> dict:
    """Sections of keys with the keys of `RENAMED` under their new names; others as they are."""
    return {
        section: {RENAMED.get(section, {}).get(name, name): value for name, value in keys.items()}
        if isinstance(keys, Mapping)
        else keys
        for section, keys in content.items()
    }


def _assign(config: EasyDict, section: str, name: str, value: Any, where: str) -> None:
    old = section, name
    section = _RENAMED_SECTIONS.get(section, section)
    if section not in SCHEMA:
        hint = suggest(section[:100], list(SCHEMA))
        raise InputError(f"{where}: unknown section {shown(section)}{hint}")
    name = RENAMED.get(section, {}).get(name, name)
    if (section, name) != old:
        log = logging.getLogger(__name__)
        log.warning("%s: %s.%s is now called %s.%s", where, *old, section, name)
    if name not in SCHEMA[section]:
        known = list(SCHEMA[section])
        raise InputError(f"{where}: unknown key {section}.{name[:60]}{suggest(name[:100], known)}")
    try:
        config[section][name] = SCHEMA[section][name].parse(value)
    except ValueError as error:
        raise InputError(f"{where}: {section}.{name} {error}, not {shown(value)}") from None


def read_yaml(path: str | Path) -> dict:
    """A config file as plain data, or an InputError that names the file and the line."""
    path = Path(path)
    if not exists(path):
        raise InputError(f"no configuration file {path}; see those in configs/")
    text = read_text(path, "a YAML file")
    if len(text) > _MAX_TEXT:
        raise InputError(f"{path} is larger than {_MAX_TEXT >> 20} MiB, expected a configuration")
    try:
        content = yaml.safe_load(text)
        _check_extent(content)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not text"
        raise InputError(f"{path}{line} is not valid YAML: {problem}") from None
    except RecursionError:
        raise InputError(f"{path} is not a configuration: it is nested too deeply") from None
    except Exception as error:  # tags build values: `!!int x`, a 13th month, 5000 digits
        raise InputError(f"{path} holds a value that is none: {str(error)[:200]}") from None
    if content is None:
        return {}
    sections = isinstance(content, dict) and all(isinstance(v, dict) for v in content.values())
    if not sections or not all(
        isinstance(name, str) for keys in (content, *content.values()) for name in keys
    ):
        raise InputError(
            f"{path} must hold sections of keys, such as `model:` and below `scale: 4`"
        )
    return content


def _check_extent(content: Any) -> None:
    """ValueError for more values than a configuration has, once aliases (`*a`) are followed.

    Nine lines of aliases can stand for a billion values, and one for itself.
    """
    waiting, seen = [content], 0
    while waiting:
        value = waiting.pop()
        seen += 1
        if seen > _MAX_VALUES:
            raise ValueError(f"it stands for more than {_MAX_VALUES} values")
        if isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set)):
            waiting += value
        elif isinstance(value, int) and value.bit_length() > 1024:
            raise ValueError("a number has hundreds of digits")


def merge(config: EasyDict, content: dict, where: str) -> EasyDict:
    """Put the sections of `content` over `config`, checking every key and value."""
    for section, keys in content.items():
        section = str(section)
        if new := _RENAMED_SECTIONS.get(section):  # one line for all of its keys
            logging.getLogger(__name__).warning("%s: %s is now called %s", where, section, new)
        for name, value in (keys or {}).items():
            _assign(config, new or section, str(name), value, where)
    return config


def _parser(program: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{program}.py",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog="Every key may be given as --section.key=value:\n\n" + key_table(program),
    )
    parser.add_argument("--config", metavar="FILE", help="config, a YAML file (see configs/)")
    for section in dict.fromkeys((*SECTIONS[program], *SCHEMA)):
        for name, key in SCHEMA[section].items():
            if program not in key.flags:
                continue
            extra: dict = {"nargs": "?", "const": True} if key.parse is boolean else {}
            old = [k for k, new in RENAMED.get(section, {}).items() if new == name]
            parser.add_argument(
                *(f"--{spelling}" for spelling in (name, *old)),
                dest=f"{section}.{name}",
                default=argparse.SUPPRESS,
                metavar=name.upper(),
                help=f"{key.help} (default: {_show(key.default)})".replace("%", "%%"),
                **extra,
            )
    return parser


def _show(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value) or "none"
    return "none" if value in (None, "") else str(value)


def key_table(program: str) -> str:
    """The keys of a program, one a line: name, default, meaning."""
    lines = []
    for section in SECTIONS[program]:
        for name, key in SCHEMA[section].items():
            lines.append(f"  {section}.{name:<18} {_show(key.default):<14} {key.help}")
    return "\n".join(lines)


def load_config(
    program: str, argv: Sequence[str], description: str = "", preset: dict | None = None
) -> EasyDict:
    """Defaults, then `--config FILE`, then flags and `--section.key=value`, validated.

    Args:
        program: `train`, `eval`, `export`, `infer` or `experiment`.
        preset: sections of keys that win over the file, and lose against the command line.

    Raises:
        InputError: an unknown flag, section or key, a value out of range, an unreadable file.
    """
    known, rest = _parser(program, description).parse_known_args(list(argv))
    config = defaults()
    given = vars(known)
    if given["config"]:
        merge(config, read_yaml(given["config"]), given["config"])
    merge(config, preset or {}, "preset")
    assignments = [(key, value) for key, value in given.items() if key != "config"]
    assignments += _dotted(rest)
    for dotted, value in assignments:
        section, name = dotted.split(".", 1)
        if dotted == "experiment.variants":
            value = chosen(value, config.experiment.variants)
        _assign(config, section, name, value, "command line")
    return config


def _dotted(rest: Sequence[str]) -> list[tuple[str, Any]]:
    """`--section.key=value` and `--section.key value` pairs out of what argparse left over."""
    pairs, rest = [], list(rest)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in name:
            raise InputError(f"unknown argument {shown(word)}; see --help")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise InputError(f"{word} needs a value: {word}=VALUE")
            value = rest.pop(0)
        pairs.append((name, value))
    return pairs


def plain(value: Any) -> Any:
    """A configuration, or a part of it, as ordinary dictionaries and lists."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def save_yaml(config: EasyDict, path: str | Path) -> None:
    """Write the effective configuration, for `--config` to read again; WorkError if it cannot."""
    write_text(Path(path), yaml.safe_dump(plain(config), sort_keys=False))
