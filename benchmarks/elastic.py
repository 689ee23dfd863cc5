"""What several students in one training step cost, beside a step for each of them.

    python benchmarks/elastic.py

Three programs, each in a process of its own, take CSD steps in turn, on one batch of noise: the
teacher with both students of `train.widths`, and the teacher with each alone. The medians of their
steps, and how the first compares with the sum of the others, as a Markdown table.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from csd.config import load_config
from csd.errors import InputError, WorkError, run_main
from csd.settings import TRAIN

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "configs" / "cpu_edsr_x2_elastic.yaml"


def make_step(config):
    """A function without arguments that takes one step and returns when it is done."""
    from csd import runtime

    device = runtime.setup(config.runtime.device_target, seed=config.train.seed)
    import mindspore as ms
    import numpy as np

    from csd.training.build import check_settings, create_network, create_step

    check_settings(config)
    step = create_step(config, create_network(config), device)
    rng, patch, scale = np.random.default_rng(0), config.data.lr_patch, config.model.scale
    sizes = ((config.train.batch_size, patch), (config.train.batch_size, scale * patch))
    batch = [
        ms.Tensor(rng.integers(0, 256, (count, 3, side, side), np.uint8))
        for count, side in (*sizes, (config.loss.negatives, patch))
    ]
    return lambda: step(*batch).asnumpy()


def serve(options: Sequence[str]) -> None:
    """The side of a child process: after the first step, one step for each line that is read."""
    call = make_step(load_config(TRAIN, options))
    call()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        call()
        print(json.dumps(time.perf_counter() - start), flush=True)


class Child:
    """A process that steps at these widths when it is asked."""

    def __init__(self, widths: Sequence[float], options: Sequence[str]):
        words = [*options, "--train.widths=" + ",".join(map(str, widths))]
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.answer()

    def answer(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise WorkError("a process of the benchmark failed, see above")
        return line.strip()

    def step(self) -> float:
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return float(self.answer())

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def measure(widths: Sequence[float], options: Sequence[str], steps: int) -> list[list[float]]:
    """Seconds of every step: all widths together first, then each alone.

    Steps are taken in turn, so that the machine's moods meet all.
    """
    children = []
    try:
        for chosen in (widths, *([width] for width in widths)):
            children.append(Child(chosen, options))
        rounds = [[child.step() for child in children] for _ in range(steps)]
    finally:
        for child in children:
            child.stop()
    return [list(seconds) for seconds in zip(*rounds, strict=True)]


def table(config, widths: Sequence[float], seconds: list[list[float]]) -> str:
    """The medians in Markdown."""
    medians = [median(part) for part in seconds]
    apart = sum(medians[1:])
    model, train = config.model, config.train
    names = [", ".join(f"{w:g}" for w in (1.0, *widths)), *(f"1, {w:g}" for w in widths)]
    lines = [
        f"{model.name} x{model.scale}, {model.n_resblocks} blocks, {model.n_feats} features; batch "
        f"{train.batch_size}, LR patch {config.data.lr_patch}, K {config.loss.negatives}; median "
        f"of {len(seconds[0])} CSD steps in turn.",
        "",
        "| widths in a step | ms | range |",
        "|---|---:|---|",
    ]
    lines += [
        f"| {name} | {1000 * middle:.0f} | {1000 * min(part):.0f} to {1000 * max(part):.0f} |"
        for name, middle, part in zip(names, medians, seconds, strict=True)
    ]
    lines.append(f"| a step for each student, summed | {1000 * apart:.0f} | |")
    lines += ["", f"Together they take {medians[0] / apart:.2f} of that sum."]
    return "\n".join(lines)


def main(argv: Sequence[str]) -> int:
    if argv[:1] == ["--serve"]:
        serve(argv[1:])
        return 0
    parser = argparse.ArgumentParser(
        prog="elastic.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default=str(CONFIG), help="config (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=15, help="timed steps of each process")
    parser.epilog = "Other words are keys of the config: --data.lr_patch=24."
    args, rest = parser.parse_known_args(argv)
    if args.steps < 1:
        raise InputError("--steps must be at least 1")
    # Weights of the encoder do not change its cost; random ones need no file.
    options = ["--config", args.config, "--teacher=none", "--loss.vgg=random",
               "--loss.vgg_arch=vgg16", *rest]  # fmt: skip
    config = load_config(TRAIN, options)
    widths = list(config.train.widths)
    if len(widths) < 2:
        raise InputError("one width has nothing to be compared with; give --train.widths=0.5,0.25")
    print(table(config, widths, measure(widths, options, args.steps)))
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
