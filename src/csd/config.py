"""One table of every setting: YAML file + command line -> a validated EasyDict.

A recipe is a YAML file of the sections below; any key of it may be given as `--section.key=value`.
Keys that people type often have a short flag as well, on the programs named with it. Later wins:
default, then file, then command line. This module does not import anything heavy, so that `--help`
answers at once.
"""

import argparse
import copy
import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from easydict import EasyDict

from csd.errors import InputError
from csd.files import write_new

TRAIN, EVAL, EXPORT, INFER, LAB = "train", "eval", "export", "infer", "lab"

# What the laboratory trains. `warm`: recipe student, starting from the teacher's channels.
LAB_RECIPES = ("student", "warm", "joint", "csd")
# What its recipes may differ in; everything else is the budget that they share.
_LAB_SECTIONS = ("loss", "optim")

# What `mindspore.device_context.ascend.op_precision.precision_mode` takes.
PRECISION_MODES = (
    "force_fp16",
    "allow_fp32_to_fp16",
    "allow_mix_precision",
    "must_keep_origin_dtype",
    "force_fp32",
    "allow_fp32_to_bf16",
    "allow_mix_precision_fp16",
    "allow_mix_precision_bf16",
)


@dataclass(frozen=True)
class Key:
    """One setting: its default, how text becomes its value, what it means, where it has a flag."""

    default: Any
    parse: Callable[[Any], Any]
    help: str
    flags: tuple[str, ...] = ()  # programs on which `--<key>` is short for `--<section>.<key>`


def _number(kind: type, low: float | None = None, high: float | None = None) -> Callable:
    def parse(value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("must be a number")
        try:
            number = kind(float(value)) if kind is int else kind(value)
            whole = kind is not int or float(value) == number
        except (TypeError, ValueError, OverflowError):
            whole = False
        if not whole:
            raise ValueError("must be a whole number" if kind is int else "must be a number")
        if number != number or (low is not None and number < low):
            raise ValueError(f"must be at least {low}")
        if high is not None and number > high:
            raise ValueError(f"must be at most {high}")
        return number

    return parse


def _choice(*names: str) -> Callable:
    def parse(value: Any) -> str:
        if str(value) not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return str(value)

    return parse


def _scale(value: Any) -> int:
    if str(value) not in ("2", "3", "4"):
        raise ValueError("must be 2, 3 or 4")
    return int(value)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "1", "yes", "on"):
        return True
    if str(value).lower() in ("false", "0", "no", "off"):
        return False
    raise ValueError("must be true or false")


def _list(item: Callable) -> Callable:
    def parse(value: Any) -> list:
        if isinstance(value, str):
            value = [part for part in value.strip("[]() ").split(",") if part.strip()]
        items = value if isinstance(value, (list, tuple)) else [value]
        return [item(part.strip() if isinstance(part, str) else part) for part in items]

    return parse


def _optional(item: Callable) -> Callable:
    def parse(value: Any) -> Any:
        return None if value is None or value == "" else item(value)

    return parse


def _overrides(value: Any) -> dict[str, Any]:
    """`section.key: value` pairs of the laboratory's sections, each value as its key parses it."""
    if not isinstance(value, dict):
        raise ValueError("must hold `section.key: value` pairs")
    found = {}
    for dotted, entry in value.items():
        section, _, name = str(dotted).partition(".")
        if section not in _LAB_SECTIONS or not name:
            raise ValueError(
                f"may set keys of {' and '.join(_LAB_SECTIONS)}, which {dotted!r} is not"
            )
        if name not in SCHEMA[section]:
            raise ValueError(f"has the unknown key {dotted}{_suggest(name, list(SCHEMA[section]))}")
        try:
            found[f"{section}.{name}"] = SCHEMA[section][name].parse(entry)
        except ValueError as error:
            raise ValueError(f"has {dotted} which {error}") from None
    return found


def _variants(value: Any) -> dict[str, dict]:
    """Named recipes in order: names alone, or `name: {recipe: base, section.key: value}`."""
    if isinstance(value, (str, list, tuple)):
        value = dict.fromkeys(_list(_text)(value))
    if not isinstance(value, dict) or not value:
        raise ValueError("must name recipes")
    found = {}
    for name, entry in value.items():
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", str(name)):
            raise ValueError("must have names of letters, digits, '_', '-' and '.'")
        entry = dict(entry) if isinstance(entry, dict) else {"recipe": entry or name}
        base = str(entry.pop("recipe", name))
        if base not in LAB_RECIPES:
            hint = _suggest(base, LAB_RECIPES)
            raise ValueError(f"{name} needs `recipe:` with a known recipe, not {base!r}{hint}")
        try:
            found[str(name)] = {"recipe": base, **_overrides(entry)}
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None
    return found


_count = _number(int, 1)
_natural = _number(int, 0)
_positive = _number(float, 0.0)
_width = _number(float, 0.0, 1.0)
_size = _optional(_count)

SCHEMA: dict[str, dict[str, Key]] = {
    "model": {
        "name": Key("edsr", _choice("edsr", "rcan", "carn"), "backbone: edsr, rcan or carn"),
        "scale": Key(4, _scale, "up-scaling factor: 2, 3 or 4", (TRAIN, LAB)),
        "n_feats": Key(64, _count, "channels of the whole network"),
        "n_resblocks": Key(None, _size, "residual blocks (EDSR 16), per group (RCAN 20)"),
        "res_scale": Key(1.0, _number(float), "EDSR: factor on each residual branch"),
        "n_resgroups": Key(None, _size, "RCAN: residual groups (10)"),
        "reduction": Key(None, _size, "RCAN: channels over channels inside attention (16)"),
    },
    "data": {
        "data_dir": Key("data", _text, "folder of the images", (TRAIN, EVAL, LAB)),
        "layout": Key(
            "auto",
            _choice("auto", "div2k", "benchmark", "folder"),
            "how the folder is laid out: auto, div2k, benchmark or folder",
            (TRAIN,),
        ),
        "val_dir": Key("", _text, "validation images; else the folder's last tenth", (TRAIN,)),
        "val_images": Key(10, _count, "validate on at most so many images"),
        "lr_patch": Key(48, _number(int, 4), "side of the low-resolution training patch, pixels"),
        "augment": Key(True, _bool, "random flips and transposition"),
        "cache_dir": Key(
            "",
            _text,
            "what is made once: decoded images, measured speeds; $XDG_CACHE_HOME/csd if empty",
            (TRAIN, EVAL, LAB, INFER),
        ),
        "workers": Key(1, _count, "threads that make batches"),
    },
    "train": {
        "recipe": Key(
            "csd",
            _choice("teacher", "student", "joint", "csd"),
            "teacher (whole network, L1), student (narrow alone, L1), joint (both), csd",
            (TRAIN,),
        ),
        "teacher": Key(
            "",
            _text,
            "checkpoint of the teacher to start from, or none; csd and joint must say",
            (TRAIN, LAB),
        ),
        "widths": Key([0.25], _list(_width), "width of the student, or of each student"),
        "batch_size": Key(16, _count, "image pairs per step and device"),
        "epochs": Key(400, _count, "epochs"),
        "iterations": Key(1000, _count, "steps in an epoch"),
        "seed": Key(1, _natural, "of weights, order, crops and negatives", (TRAIN,)),
        "validate_every": Key(1, _natural, "epochs between validations; 0: never"),
        "save_every": Key(0, _natural, "steps between checkpoints; 0: at the end of each epoch"),
        "keep": Key(3, _count, "checkpoints kept beside best.ckpt"),
        "log_every": Key(10, _count, "steps between rows of metrics.csv"),
        "resume": Key(
            False, _bool, "go on from the newest good checkpoint of the output folder", (TRAIN,)
        ),
        "allow_changed": Key(
            False, _bool, "resume although the configuration has changed", (TRAIN,)
        ),
    },
    "optim": {
        "name": Key("adam", _choice("adam", "sgd"), "adam or sgd"),
        "lr": Key(1e-4, _positive, "learning rate at the start"),
        "schedule": Key("step", _choice("step", "cosine", "constant"), "step, cosine or constant"),
        "decay_epochs": Key(200, _count, "step: epochs between decays"),
        "decay_factor": Key(0.1, _positive, "step: factor of each decay"),
        "min_lr": Key(0.0, _positive, "cosine: learning rate at the end"),
        "warmup": Key(0, _natural, "steps over which the learning rate rises from zero"),
        "beta1": Key(0.9, _number(float, 0, 1), "Adam"),
        "beta2": Key(0.999, _number(float, 0, 1), "Adam"),
        "eps": Key(1e-8, _positive, "Adam"),
        "clip_norm": Key(0.0, _positive, "largest gradient norm; 0: no clipping"),
    },
    "loss": {
        "vgg": Key("", _text, "weights of the VGG encoder: a file, hed, or random", (TRAIN, LAB)),
        "vgg_arch": Key("vgg19", _choice("vgg16", "vgg19"), "of random weights: vgg16 or vgg19"),
        "vgg_input": Key(
            "auto",
            _choice("auto", "raw", "imagenet"),
            "raw 0..255, imagenet mean and std, or auto: as the weights' owners did",
        ),
        "layer_weights": Key(
            [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0],
            _list(_positive),
            "weight of relu1_1, relu2_1, relu3_1, relu4_1, relu5_1",
        ),
        "negatives": Key(10, _count, "negatives K of a step, at most the batch size"),
        "contrast_weight": Key(200.0, _positive, "weight of the contrastive loss"),
        "teacher_weight": Key(1.0, _positive, "weight of the teacher's L1"),
        "width_weights": Key(
            [],
            _list(_positive),
            "factor on student and contrast of each of train.widths, in its order; none: all 1",
        ),
    },
    "runtime": {
        "device_target": Key(
            "auto",
            _choice("auto", "Ascend", "GPU", "CPU"),
            "Ascend, GPU, CPU or auto",
            (TRAIN, EVAL, EXPORT, INFER, LAB),
        ),
        "output_dir": Key(
            "",
            _text,
            "the only folder written to; by default one below ./output that each program names",
            (TRAIN, EVAL, EXPORT, INFER, LAB),
        ),
        "distributed": Key(False, _bool, "one of several processes started by msrun"),
        "amp_level": Key(
            "default",
            _choice("default", "O0", "auto", "O2", "O3"),
            "mixed precision; default: O0 on CPU, auto elsewhere",
        ),
        "loss_scale": Key(
            "default",
            _text,
            "none, dynamic or a number; default: none on CPU, dynamic elsewhere",
        ),
        "data_sink": Key(
            "default",
            _choice("default", "true", "false"),
            "queue batches on the device; default: on GPU, and on Ascend with jit_level O2",
        ),
        "jit_level": Key(
            "default",
            _choice("default", "O0", "O1", "O2"),
            "of MindSpore's compiler; default: O0 on Ascend 910A, elsewhere MindSpore's own",
        ),
        "precision_mode": Key(
            "default",
            _choice("default", *PRECISION_MODES),
            "of Ascend's operators; default: must_keep_origin_dtype on 910A, else MindSpore's own",
        ),
        "recompute": Key(
            False, _bool, "compute the network's blocks twice instead of keeping what is inside"
        ),
        "profile_steps": Key(
            0, _natural, "steps, behind the first ten, that MindSpore's profiler looks at"
        ),
    },
    "eval": {
        "ckpt": Key("", _text, "checkpoint; it says which network it holds", (EVAL,)),
        "model": Key("", _choice("", "bicubic"), "bicubic: no network at all", (EVAL,)),
        "sets": Key(["Set5"], _list(_text), "benchmark sets, names or folders: A,B", (EVAL,)),
        "scale": Key(None, _optional(_scale), "needed with --model bicubic", (EVAL,)),
        "width": Key([], _list(_width), "widths: 1.0,0.25; else every trained one", (EVAL,)),
        "bicubic_kernel": Key(
            "matlab", _choice("matlab", "pillow"), "of the bicubic row: matlab or pillow", (EVAL,)
        ),
        "self_ensemble": Key(False, _bool, "mean over the eight flips and turns", (EVAL,)),
        "tile": Key(0, _natural, "side of low-resolution tiles; 0: whole images", (EVAL,)),
        "save_images": Key(False, _bool, "write the restored images too", (EVAL,)),
    },
    "export": {
        "ckpt": Key("", _text, "checkpoint to export", (EXPORT,)),
        "width": Key(None, _optional(_width), "else the narrowest trained width", (EXPORT,)),
        "file_format": Key(
            "MINDIR", _choice("MINDIR", "AIR", "ONNX"), "MINDIR, AIR (Ascend) or ONNX", (EXPORT,)
        ),
        "size": Key(
            "dynamic", _text, "input HxW (120x160), several HxW,HxW, or dynamic", (EXPORT,)
        ),
    },
    "infer": {
        "ckpt": Key(
            "", _text, "checkpoint, or exported .mindir or .onnx; else the shipped one", (INFER,)
        ),
        "scale": Key(None, _optional(_scale), "of the shipped checkpoint: 2 or 4 (4)", (INFER,)),
        "input": Key("", _text, "photograph, folder or glob", (INFER,)),
        "width": Key(None, _optional(_width), "else the narrowest trained width", (INFER,)),
        "budget_ms": Key(
            None,
            _optional(_number(float, 0.001)),
            "widest trained width whose network takes at most so many ms for each photograph",
            (INFER,),
        ),
        "tile": Key(192, _number(int, 16), "side of the low-resolution tiles", (INFER,)),
        "self_ensemble": Key(False, _bool, "mean over the eight flips and turns", (INFER,)),
        "format": Key(
            "png", _choice("png", "same"), "of the outputs: png, or same as the input", (INFER,)
        ),
        "overwrite": Key(False, _bool, "write outputs that exist again", (INFER,)),
        "compare": Key(False, _bool, "write a side-by-side picture as well", (INFER,)),
    },
    "lab": {
        "recipes": Key(
            {name: {"recipe": name} for name in LAB_RECIPES},
            _variants,
            "what is compared: names, or name: {recipe: base, section.key: value}; "
            f"bases {', '.join(LAB_RECIPES)}",
        ),
        "seeds": Key([1, 2, 3], _list(_natural), "seeds of each recipe: 1,2,3", (LAB,)),
        "fair": Key(
            ["steps", "time"],
            _list(_choice("steps", "time")),
            "budgets: equal steps, equal wall time (of recipe csd), or both",
            (LAB,),
        ),
        "steps": Key(1000, _count, "steps of every recipe; a multiple of train.epochs", (LAB,)),
        "teacher_steps": Key(1000, _count, "steps of the teacher; a multiple of train.epochs"),
        "teacher": Key({}, _overrides, "`section.key: value` pairs for the teacher alone"),
        "sets": Key(["Set5"], _list(_text), "benchmark sets, names or folders: A,B", (LAB,)),
        "benchmark_dir": Key("data", _text, "folder of the benchmark sets", (LAB,)),
        "jobs": Key(1, _count, "runs at once, each with its share of the processors", (LAB,)),
        "smoke": Key(False, _bool, "seconds instead of hours: tiny network, few steps", (LAB,)),
    },
}

# The sections that mean something to each program, for its help text.
_SECTIONS = {
    TRAIN: ("model", "data", "train", "optim", "loss", "runtime"),
    EVAL: ("data", "eval", "runtime"),
    EXPORT: ("export", "runtime"),
    INFER: ("infer", "runtime"),
    LAB: ("lab", "model", "data", "train", "optim", "loss", "runtime"),
}


def defaults() -> EasyDict:
    """Every key at its default."""
    return EasyDict(
        {
            section: {name: copy.deepcopy(k.default) for name, k in keys.items()}
            for section, keys in SCHEMA.items()
        }
    )


def _suggest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, 1, 0.5)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _assign(config: EasyDict, section: str, name: str, value: Any, where: str) -> None:
    if section not in SCHEMA:
        raise InputError(f"{where}: unknown section {section!r}{_suggest(section, list(SCHEMA))}")
    if name not in SCHEMA[section]:
        known = list(SCHEMA[section])
        raise InputError(f"{where}: unknown key {section}.{name}{_suggest(name, known)}")
    try:
        config[section][name] = SCHEMA[section][name].parse(value)
    except ValueError as error:
        raise InputError(f"{where}: {section}.{name} {error}, not {value!r}") from None


def read_yaml(path: str | Path) -> dict:
    """A recipe file as plain data, or an InputError that names the file and the line."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no configuration file {path}; the recipes are in configs/")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not text"
        raise InputError(f"{path}{line} is not valid YAML: {problem}") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise InputError(
            f"{path} must hold sections of keys, such as `model:` and below `scale: 4`"
        )
    return content


def merge(config: EasyDict, content: dict, where: str) -> EasyDict:
    """Put the sections of `content` over `config`, checking every key and value."""
    for section, keys in content.items():
        for name, value in (keys or {}).items():
            _assign(config, str(section), str(name), value, where)
    return config


def _parser(program: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{program}.py",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog="Every key may be given as --section.key=value:\n\n" + key_table(program),
    )
    parser.add_argument("--config", metavar="FILE", help="recipe, a YAML file (see configs/)")
    for section in dict.fromkeys((*_SECTIONS[program], *SCHEMA)):
        for name, key in SCHEMA[section].items():
            if program not in key.flags:
                continue
            extra: dict = {"nargs": "?", "const": True} if key.parse is _bool else {}
            parser.add_argument(
                f"--{name}",
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
    for section in _SECTIONS[program]:
        for name, key in SCHEMA[section].items():
            lines.append(f"  {section}.{name:<18} {_show(key.default):<14} {key.help}")
    return "\n".join(lines)


def load_config(
    program: str, argv: Sequence[str], description: str = "", preset: dict | None = None
) -> EasyDict:
    """Defaults, then `--config FILE`, then flags and `--section.key=value`, validated.

    Args:
        program: `train`, `eval`, `export`, `infer` or `lab`.
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
        _assign(config, section, name, value, "command line")
    return config


def _dotted(rest: Sequence[str]) -> list[tuple[str, Any]]:
    """`--section.key=value` and `--section.key value` pairs out of what argparse left over."""
    pairs, rest = [], list(rest)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in name:
            raise InputError(f"unknown argument {word!r}; see --help")
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise InputError(f"{word} needs a value: {word}=VALUE")
            value = rest.pop(0)
        pairs.append((name, value))
    return pairs


def model_hyper(config: EasyDict) -> dict:
    """The hyper-parameters of `config.model` that its backbone has, those not set left out."""
    wanted = {
        "edsr": ("n_feats", "n_resblocks", "res_scale"),
        "rcan": ("n_feats", "n_resgroups", "n_resblocks", "reduction"),
        "carn": ("n_feats",),
    }[config.model.name]
    return {k: config.model[k] for k in wanted if config.model[k] is not None}


def plain(config: EasyDict) -> dict:
    """The configuration as ordinary dictionaries and lists."""
    return _plain(config)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def save_yaml(config: EasyDict, path: str | Path) -> None:
    """Write the effective configuration, for `--config` to read again."""
    write_new(Path(path), yaml.safe_dump(plain(config), sort_keys=False))
