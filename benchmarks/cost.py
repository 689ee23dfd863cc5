"""What a config costs: multiply-adds of a training step and of the whole run. Nothing is trained.

    python benchmarks/cost.py [CONFIG.yaml ...] [--tflops N | --memory]

Convolutions only, as everywhere in this field; they are nearly all of the arithmetic. A trained
network counts three times, forward, and backward to its inputs and to its weights; the VGG encoder
once for the teacher's images and the negatives, and twice for a student's, whose gradient passes
through it. Validation is not counted. Without configs: the paper's.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from math import prod
from pathlib import Path

from csd.errors import run_main

ROOT = Path(__file__).resolve().parents[1]


def encoder_multiply_adds(encoder, side: int) -> int:
    """Multiply-adds of a `VGGEncoder` for one image of `side` x `side` pixels."""
    total = 0
    for conv, pool in zip(encoder.convs, encoder.pools, strict=True):
        side = side // 2 if pool else side
        total += prod(conv.weight.shape) * side**2
    return total


def step_multiply_adds(config) -> tuple[int, int]:
    """(trained networks, VGG encoder): multiply-adds of one step of a config on one device."""
    from csd.evaluation import multiply_adds
    from csd.nets import VGG_LAYERS, VGGEncoder, create_model
    from csd.settings import hyper_of

    train, loss = config.train, config.loss
    side = config.data.lr_patch * config.model.scale
    students = [] if train.method == "teacher" else list(train.widths)
    widths = students if train.method == "student" else [1.0, *students]
    net = create_model(config.model.name, scale=config.model.scale, **hyper_of(config.model))
    trained = 3 * train.batch_size * sum(multiply_adds(net, w, (side, side)) for w in widths)
    if train.method != "csd":
        return trained, 0
    images = train.batch_size * (1 + 2 * len(students)) + loss.negatives
    arch = "vgg16" if loss.vgg == "hed" else loss.vgg_arch
    return trained, images * encoder_multiply_adds(VGGEncoder(VGG_LAYERS[arch]), side)


def activation_gib(config) -> dict[str, float]:
    """Precision level -> GiB of tensors alive at once in a compiled step on an accelerator.

    From the step's own graph, with the branches for Ascend; weights and optimizer come on top.
    """
    import mindspore as ms
    from graph import compile_graph, peak_bytes
    from mindspore import nn

    from csd.losses import CSDObjective, ReconstructionObjective
    from csd.nets import VGG_LAYERS, VGGEncoder, create_model, extract_student
    from csd.ops import device, precision
    from csd.settings import hyper_of
    from csd.training.step import CSDTrainOneStep

    device.target = lambda: "Ascend"  # this process builds graphs and runs none
    train, loss, scale = config.train, config.loss, config.model.scale
    found = {}
    for level in ("auto", "O2"):
        net = create_model(config.model.name, scale=scale, **hyper_of(config.model))
        if train.method == "csd":
            arch = "vgg16" if loss.vgg == "hed" else loss.vgg_arch
            encoder = VGGEncoder(VGG_LAYERS[arch])
            encoder.loaded = True  # its values do not matter
            objective = CSDObjective(net, encoder, student_width=tuple(train.widths))
        else:
            net = extract_student(net, train.widths[0]) if train.method == "student" else net
            students = tuple(train.widths) if train.method == "joint" else ()
            objective = ReconstructionObjective(net, student_width=students)
        precision.set_level(objective, level)
        step = CSDTrainOneStep(objective, nn.SGD(net.trainable_params(), 1e-4)).set_train()
        lr, hr = config.data.lr_patch, config.data.lr_patch * scale
        shapes = [(train.batch_size, lr), (train.batch_size, hr), (loss.negatives, hr)]
        images = [
            ms.ops.zeros((n, 3, side, side), ms.float32)
            for n, side in shapes[: 3 if train.method == "csd" else 2]
        ]
        nodes = compile_graph(step, *images)
        found[level] = peak_bytes(nodes) / 2**30
    return found


def memory_row(file: Path) -> str:
    """One line of the table of memory."""
    from csd.config import load_config
    from csd.settings import TRAIN

    found = activation_gib(load_config(TRAIN, ["--config", str(file)]))
    return f"| {file.stem} | {found['auto']:.1f} | {found['O2']:.1f} |"


def row(file: Path, tflops: float) -> str:
    """One line of the table."""
    from csd.config import load_config
    from csd.settings import TRAIN

    config = load_config(TRAIN, ["--config", str(file)])
    trained, vgg = step_multiply_adds(config)
    steps = config.train.epochs * config.train.steps_per_epoch
    days = 2 * (trained + vgg) * steps / (tflops * 1e12) / 86400
    return (
        f"| {file.stem} | {trained / 1e12:.3f} | {vgg / 1e12:.3f} | "
        f"{(trained + vgg) / 1e12:.3f} | {steps:,} | {(trained + vgg) * steps / 1e18:.3f} | "
        f"{days:.2f} |"
    )


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="cost.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configs", nargs="*", type=Path, metavar="CONFIG.yaml")
    parser.add_argument(
        "--tflops", type=float, default=50.0, help="what all devices sustain together, 10^12/s (50)"
    )
    parser.add_argument(
        "--memory", action="store_true", help="memory of a step's activations instead"
    )
    args = parser.parse_args(argv)
    os.environ.setdefault("GLOG_v", "3")
    files = args.configs or sorted((ROOT / "configs").glob("paper_*.yaml"))
    if args.memory:
        print("| config | activations at auto, GiB | at O2, GiB |\n|---|--:|--:|")
        for file in files:
            print(memory_row(file), flush=True)
        return 0
    print(
        "| config | networks, 10^12 a step | VGG, 10^12 | step, 10^12 | steps | run, 10^18 "
        f"| days at {args.tflops:g} TFLOP/s |\n|---|--:|--:|--:|--:|--:|--:|"
    )
    for file in files:
        print(row(file, args.tflops), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
