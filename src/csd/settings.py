"""The table of every setting: section, name, type, default, range, meaning.

It imports nothing heavy, so that `--help` answers at once. `csd.config` reads files and command
lines by it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from csd.backbones import BACKBONES, Hyper, hyper_table
from csd.values import boolean, choice, list_of, number, optional, scale_factor, text, word
from csd.variants import EXPERIMENT_METHODS, overrides, variants

PROGRAMS = TRAIN, EVAL, EXPORT, INFER, EXPERIMENT = "train", "eval", "export", "infer", "experiment"

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


# Limits are those of what takes the values: counters are int32 on some devices, seeds are numpy's,
# Adam's betas lie inside (0, 1) and its epsilon above 0, in float32.
_count = number(int, 1, 2**31 - 1)
_natural = number(int, 0, 2**31 - 1)
_few = number(int, 1, 4096)  # what memory is proportional to
_seed = number(int, 0, 2**32 - 1)
_positive = number(float, 0.0, 1e9)
_rate = number(float, 0.0, 1e30)  # what float32 holds
_beta = number(float, 1e-6, 0.999999)
_width = number(float, 0.0, 1.0)
_size = optional(_few)
_overrides = overrides(lambda: SCHEMA)
_variants = variants(_overrides)

_ENSEMBLE = "self-ensemble (x8): mean over the eight flips and transpositions"
_HYPER_TYPES = {
    "int": _size,
    "float": optional(number(float, -1000.0, 1000.0)),
    "bool": optional(boolean),
}


def model_keys() -> dict[str, Key]:
    """The section `model`: what every backbone has, then the hyper-parameters of each.

    A default that every backbone shares is shown as such; else None stands for the backbone's own.
    """
    owners: dict[str, list[tuple[str, Hyper]]] = {}
    for backbone in BACKBONES:
        for row in hyper_table(backbone):
            owners.setdefault(row.name, []).append((backbone, row))
    return {
        "name": Key("edsr", choice(*BACKBONES), f"backbone: {', '.join(BACKBONES)}"),
        "scale": Key(4, scale_factor, "up-scaling factor: 2, 3 or 4", (TRAIN, EXPERIMENT)),
        "init": Key(
            "default",
            choice("default", "interpolation"),
            "initial weights: default, or interpolation: every width starts at bicubic quality",
        ),
        **{name: _hyper_key(rows) for name, rows in owners.items()},
    }


def _hyper_key(rows: list[tuple[str, Hyper]]) -> Key:
    first = rows[0][1]
    parse = _HYPER_TYPES[first.type]
    if len(rows) == len(BACKBONES) and len({row.default for _, row in rows}) == 1:
        return Key(first.default, parse, first.meaning)
    meanings: dict[str, list[str]] = {}
    for backbone, row in rows:
        default = "" if row.default is None else f" ({row.default})".lower()
        meanings.setdefault(row.meaning, []).append(f"{backbone}{default}")
    return Key(None, parse, "; ".join(f"{m}: {', '.join(who)}" for m, who in meanings.items()))


def hyper_of(model: Mapping[str, Any]) -> dict[str, Any]:
    """The hyper-parameters of a section `model`, complete but for those without a default."""
    values = {row.name: (model.get(row.name), row.default) for row in hyper_table(model["name"])}
    chosen = {name: own if given is None else given for name, (given, own) in values.items()}
    return {name: value for name, value in chosen.items() if value is not None}


SCHEMA: dict[str, dict[str, Key]] = {
    "model": model_keys(),
    "data": {
        "data_dir": Key("data", text, "folder of the images", (TRAIN, EVAL, EXPERIMENT)),
        "layout": Key(
            "auto",
            choice("auto", "div2k", "benchmark", "folder"),
            "how the folder is laid out: auto, div2k, benchmark or folder",
            (TRAIN,),
        ),
        "lr": Key(
            "bicubic",
            word,
            "LR images: bicubic (else made), made, another degradation that is there, or a folder",
        ),
        "val_dir": Key("", text, "validation images; else the folder's last tenth", (TRAIN,)),
        "val_images": Key(10, _count, "validate on at most so many images"),
        "lr_patch": Key(48, number(int, 4, 1024), "side of the LR training patch, pixels"),
        "augment": Key(True, boolean, "random flips and transposition"),
        "cache_dir": Key(
            "",
            text,
            "what is made once: decoded images, measured speeds; $XDG_CACHE_HOME/csd if empty",
            (TRAIN, EVAL, EXPERIMENT, INFER),
        ),
        "workers": Key(1, number(int, 1, 256), "threads that make batches"),
    },
    "train": {
        "method": Key(
            "csd",
            choice("teacher", "student", "joint", "csd"),
            "teacher (full-width, L1), student (sub-network alone, L1), joint (both, L1), csd",
            (TRAIN,),
        ),
        "teacher": Key(
            "",
            text,
            "checkpoint of the teacher to start from, or none; csd and joint need it",
            (TRAIN, EXPERIMENT),
        ),
        "student": Key(
            "",
            text,
            "checkpoint of a student trained alone; it takes the place of teacher's channels",
            (TRAIN,),
        ),
        "reorder": Key(False, boolean, "sort or rotate the teacher's channels, the best first"),
        "widths": Key([0.25], list_of(_width), "width of the student, or of each student"),
        "batch_size": Key(16, _few, "image pairs per step and device"),
        "epochs": Key(400, _count, "epochs"),
        "steps_per_epoch": Key(1000, _count, "steps in an epoch"),
        "seed": Key(1, _seed, "of weights, order, crops and negatives", (TRAIN,)),
        "validate_every": Key(1, _natural, "epochs between validations; 0: never"),
        "save_every": Key(0, _natural, "steps between checkpoints; 0: at the end of each epoch"),
        "keep": Key(3, _count, "checkpoints kept beside best.ckpt"),
        "log_every": Key(10, _count, "steps between rows of metrics.csv"),
        "resume": Key(False, boolean, "resume from the newest good checkpoint", (TRAIN,)),
        "allow_changed": Key(False, boolean, "resume although the config has changed", (TRAIN,)),
    },
    "optim": {
        "name": Key("adam", choice("adam", "sgd"), "adam or sgd"),
        "lr": Key(1e-4, _rate, "learning rate at the start"),
        "schedule": Key("step", choice("step", "cosine", "constant"), "step, cosine or constant"),
        "decay_epochs": Key(200, _count, "step: epochs between decays"),
        "decay_factor": Key(0.1, number(float, 0.0, 10.0), "step: factor of each decay"),
        "min_lr": Key(0.0, _rate, "cosine: learning rate at the end"),
        "warmup": Key(0, _natural, "steps over which the learning rate rises from zero"),
        "beta1": Key(0.9, _beta, "Adam"),
        "beta2": Key(0.999, _beta, "Adam"),
        "eps": Key(1e-8, number(float, 1e-30, 1.0), "Adam"),
        "clip_norm": Key(0.0, _positive, "largest gradient norm; 0: no clipping"),
    },
    "loss": {
        "vgg": Key("", text, "VGG weights: a file, hed, or random", (TRAIN, EXPERIMENT)),
        "vgg_arch": Key("vgg19", choice("vgg16", "vgg19"), "of random weights: vgg16 or vgg19"),
        "vgg_input": Key(
            "auto",
            choice("auto", "raw", "imagenet"),
            "raw 0..255, imagenet mean and std, or auto: as the weights' owners did",
        ),
        "layer_weights": Key(
            [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0],
            list_of(_positive),
            "weight of relu1_1, relu2_1, relu3_1, relu4_1, relu5_1",
        ),
        "negatives": Key(10, _count, "negatives K of a step, at most the batch size"),
        "crop": Key(
            0,
            _natural,
            "side in HR pixels of a random square that the contrastive loss sees; 0: everything",
        ),
        "every": Key(1, _count, "steps from one with the contrastive loss to the next"),
        "contrast_weight": Key(200.0, _positive, "weight of the contrastive loss"),
        "teacher_weight": Key(1.0, _positive, "weight of the teacher's L1"),
        "width_weights": Key(
            [],
            list_of(_positive),
            "factor on both losses of each of train.widths, in its order; none: all 1",
        ),
    },
    "runtime": {
        "device_target": Key(
            "auto",
            choice("auto", "Ascend", "GPU", "CPU"),
            "Ascend, GPU, CPU or auto",
            PROGRAMS,
        ),
        "output_dir": Key(
            "",
            text,
            "the only folder written to; by default one below ./output that each program names",
            PROGRAMS,
        ),
        "distributed": Key(False, boolean, "one of several processes started by msrun"),
        "amp_level": Key(
            "default",
            choice("default", "O0", "auto", "O2", "O3"),
            "mixed precision; default: O0 on CPU, auto elsewhere",
        ),
        "loss_scale": Key(
            "default", text, "none, dynamic or a number; default: none on CPU, dynamic elsewhere"
        ),
        "data_sink": Key(
            "default",
            choice("default", "true", "false"),
            "queue batches on the device; default: on GPU, and on Ascend with jit_level O2",
        ),
        "engine": Key(
            "auto",
            choice("auto", "mindspore", "openvino", "onnxruntime"),
            "runtime of the network; auto: openvino on the CPU, mindspore elsewhere",
            (EVAL, INFER),
        ),
        "jit_level": Key(
            "default",
            choice("default", "O0", "O1", "O2"),
            "of MindSpore's compiler; default: O0 on Ascend 910A, elsewhere MindSpore's own",
        ),
        "precision_mode": Key(
            "default",
            choice("default", *PRECISION_MODES),
            "of Ascend's operators; default: must_keep_origin_dtype on 910A, else MindSpore's own",
        ),
        "recompute": Key(False, boolean, "recompute the inside of blocks instead of keeping it"),
        "profile_steps": Key(0, _natural, "steps to profile, behind the first ten"),
    },
    "eval": {
        "ckpt": Key("", text, "checkpoint, or exported .mindir, .onnx or .xml", (EVAL,)),
        "model": Key("", choice("", "bicubic"), "bicubic: no network at all", (EVAL,)),
        "sets": Key(["Set5"], list_of(text), "benchmark sets, names or folders: A,B", (EVAL,)),
        "scale": Key(None, optional(scale_factor), "needed with --model bicubic", (EVAL,)),
        "width": Key([], list_of(_width), "widths: 1.0,0.25; else every trained one", (EVAL,)),
        "bicubic_kernel": Key(
            "matlab", choice("matlab", "pillow"), "of the bicubic row: matlab or pillow", (EVAL,)
        ),
        "self_ensemble": Key(False, boolean, _ENSEMBLE, (EVAL,)),
        "tile": Key(0, _natural, "side of low-resolution tiles; 0: no tiles", (EVAL,)),
        "save_images": Key(False, boolean, "write the upscaled images too", (EVAL,)),
    },
    "export": {
        "ckpt": Key("", text, "checkpoint to export", (EXPORT,)),
        "width": Key(None, optional(_width), "else the narrowest trained width", (EXPORT,)),
        "file_format": Key(
            "default",
            choice("default", "MINDIR", "AIR", "ONNX", "OPENVINO"),
            "MINDIR (the default), AIR (Ascend), ONNX; with int8 OPENVINO (the default) or MINDIR",
            (EXPORT,),
        ),
        "size": Key("dynamic", text, "input HxW (120x160), several HxW,HxW, or dynamic", (EXPORT,)),
        "precision": Key(
            "float32", choice("float32", "int8"), "float32, or int8 (a CPU or Ascend)", (EXPORT,)
        ),
        "calibration": Key("", text, "int8: folder of HR images, 16 at least", (EXPORT,)),
        "max_drop": Key(0.1, number(float, 0.0), "int8: largest loss, dB of PSNR-Y", (EXPORT,)),
    },
    "infer": {
        "ckpt": Key(
            "", text, "checkpoint, or exported .mindir, .onnx, .xml; else the shipped one", (INFER,)
        ),
        "scale": Key(
            None, optional(scale_factor), "of the shipped checkpoint: 2, 3 or 4 (4)", (INFER,)
        ),
        "input": Key("", text, "image, folder or glob", (INFER,)),
        "width": Key(None, optional(_width), "else the narrowest trained width", (INFER,)),
        "budget_ms": Key(
            None,
            optional(number(float, 0.001, 1e9)),
            "widest trained width whose network takes at most so many ms for each image",
            (INFER,),
        ),
        "tile": Key(
            None,
            optional(number(int, 16, 1 << 20)),
            "side of the low-resolution tiles; else by the width: 192 at 1, 432 at 0.25",
            (INFER,),
        ),
        "self_ensemble": Key(False, boolean, _ENSEMBLE, (INFER,)),
        "format": Key(
            "png", choice("png", "same"), "of the outputs: png, or same as the input", (INFER,)
        ),
        "strip": Key(False, boolean, "leave EXIF, XMP and resolution out of the outputs", (INFER,)),
        "overwrite": Key(False, boolean, "write outputs that exist again", (INFER,)),
        "compare": Key(False, boolean, "write a side-by-side image as well", (INFER,)),
    },
    "experiment": {
        "variants": Key(
            {name: {"method": name} for name in EXPERIMENT_METHODS},
            _variants,
            "what is compared: names, or name: {method: base, section.key: value}; "
            f"methods {', '.join(EXPERIMENT_METHODS)}",
        ),
        "seeds": Key([1, 2, 3], list_of(_seed), "seeds of each variant: 1,2,3", (EXPERIMENT,)),
        "fair": Key(
            ["steps", "time"],
            list_of(choice("steps", "time")),
            "budgets: equal steps, equal wall time (of variant csd), or both",
            (EXPERIMENT,),
        ),
        "steps": Key(
            1000, _count, "steps of every variant; a multiple of train.epochs", (EXPERIMENT,)
        ),
        "teacher_steps": Key(1000, _count, "steps of the teacher; a multiple of train.epochs"),
        "teacher": Key({}, _overrides, "`section.key: value` pairs for the teacher alone"),
        "sets": Key(
            ["Set5"], list_of(text), "benchmark sets, names or folders: A,B", (EXPERIMENT,)
        ),
        "benchmark_dir": Key("data", text, "folder of the benchmark sets", (EXPERIMENT,)),
        "jobs": Key(1, _count, "runs at once, which share the processors", (EXPERIMENT,)),
        "smoke": Key(False, boolean, "a tiny network and few steps: seconds", (EXPERIMENT,)),
    },
}

# The sections that mean something to each program, for its help text.
SECTIONS = {
    TRAIN: ("model", "data", "train", "optim", "loss", "runtime"),
    EVAL: ("data", "eval", "runtime"),
    EXPORT: ("export", "runtime"),
    INFER: ("infer", "runtime"),
    EXPERIMENT: ("experiment", "model", "data", "train", "optim", "loss", "runtime"),
}
