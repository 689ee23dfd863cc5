"""How a CSD training step grows, what a start costs, and what a second process brings.

    python benchmarks/scaling.py {k,batch,patch,width,blocks,startup,ranks} [--small]

Step time and peak memory against the number of negatives, the batch, the LR patch, the student's
width and the residual blocks; the seconds until the first step is done against depth, with and
without the framework's graph cache; two processes of half the threads against one. Each prints one
Markdown table. Everything else is EDSR 8 x 64, x4, VGG-19 of random weights, and batch 16, LR patch
48, K = 10 (`k`, `ranks`) or batch 8, LR patch 32, K = 4. Every line is a process of its own; a
line's time is the median of all its steps, its memory the peak. `--small` does the same with tiny
sizes, to see that it works.
"""

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from csd.errors import WorkError, run_main

BASE = {
    "train.teacher": "none",
    "train.widths": 0.25,
    "train.batch_size": 16,
    "train.epochs": 1,
    "data.lr_patch": 48,
    "loss.vgg": "random",
    "loss.negatives": 10,
    "model.n_feats": 64,
    "model.n_resblocks": 8,
    "optim.schedule": "constant",
    "runtime.device_target": "CPU",
}
# A quarter of the work, for what shows its growth as well at that size.
MEDIUM = {"train.batch_size": 8, "data.lr_patch": 32, "loss.negatives": 4}
SMALL = {"train.batch_size": 2, "data.lr_patch": 8, "loss.negatives": 2, "model.n_resblocks": 2}

# Section: what the first column says, the setting that it changes, its values, those of --small,
# and what else differs from BASE.
SECTIONS = {
    "k": ("K", "loss.negatives", (1, 4, 10, 16), (1, 2), {}),
    # As many negatives as the smallest batch has images, so that only the batch changes.
    "batch": ("batch", "train.batch_size", (4, 8, 16, 32), (2, 4), MEDIUM),
    "patch": ("LR patch", "data.lr_patch", (16, 24, 32, 48), (8, 16), MEDIUM),
    "width": ("student's width", "train.widths", (0.125, 0.25, 0.5, 0.75), (0.25, 0.5), MEDIUM),
    "blocks": ("blocks", "model.n_resblocks", (2, 8, 16, 32), (1, 2), MEDIUM),
}

# What a start costs does not depend on the size of the batch.
START = {"train.batch_size": 2, "data.lr_patch": 16, "loss.negatives": 2}
RCAN = {"model.name": "rcan", "model.n_resgroups": 10, "model.n_resblocks": 20}
DEPTHS = {
    "EDSR 8 x 64": {},
    "EDSR 16 x 64": {"model.n_resblocks": 16},
    "EDSR 32 x 64": {"model.n_resblocks": 32},
    "EDSR 64 x 64": {"model.n_resblocks": 64},
    "RCAN 10 x 20 x 64": RCAN,
}
SMALL_DEPTHS = {
    "EDSR 1 x 16": {"model.n_feats": 16, "model.n_resblocks": 1},
    "EDSR 4 x 16": {"model.n_feats": 16, "model.n_resblocks": 4},
}
# The networks that show what the framework's graph cache would save.
CACHED = ("EDSR 16 x 64", "EDSR 4 x 16")


def words(settings: dict) -> list[str]:
    """Settings as the command line of train.py."""
    return [f"--{key}={value}" for key, value in settings.items()]


# --- the process that is measured -----------------------------------------------------------------


def child(settings: Sequence[str], started: float, steps: int, output: str, vgg: bool) -> None:
    """Run a config's own step on random patches and write what it took, as JSON.

    Args:
        settings: the command line of train.py.
        started: `time.time()` just before this process was started.
        output: file to write; of several ranks each appends its number.
        vgg: also time the encoder's pass over the negatives alone, when all else is measured.
    """
    from csd import runtime
    from csd.config import load_config
    from csd.settings import TRAIN

    config = load_config(TRAIN, settings)
    runtime.prepare_environment(config.data.cache_dir)
    if config.runtime.distributed and runtime.is_scheduler():
        runtime.setup(distributed=True)
        return
    device = runtime.setup(
        "CPU", seed=1, distributed=config.runtime.distributed, cache_dir=config.data.cache_dir
    )
    from csd.training.build import create_network, create_step

    if os.environ.get("MS_COMPILER_CACHE_ENABLE") == "1":
        name_kernels()
    marks = [time.time()]
    step = create_step(config, create_network(config), device)
    marks.append(time.time())
    batch = random_batch(config)
    step.compile(*batch)
    marks.append(time.time())
    losses = step(*batch).asnumpy().tolist()
    marks.append(time.time())
    device.barrier()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        step(*batch).asnumpy()
        seconds.append(time.perf_counter() - start)
    found = {
        "phases": [b - a for a, b in zip([started, *marks], marks, strict=False)],
        "losses": losses,
        "seconds": seconds,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "vgg": vgg_seconds(config) if vgg else None,
    }
    Path(f"{output}{device.rank}").write_text(json.dumps(found))


def random_batch(config) -> list:
    """uint8 LR and HR patches and the negatives' LR patches, as the data pipeline gives them."""
    import mindspore as ms
    import numpy as np

    rng = np.random.default_rng(0)
    patch, scale = config.data.lr_patch, config.model.scale
    sizes = [(config.train.batch_size, patch), (config.train.batch_size, scale * patch)]
    if config.train.method == "csd":
        sizes.append((config.loss.negatives, patch))
    return [ms.Tensor(rng.integers(0, 256, (n, 3, p, p), np.uint8)) for n, p in sizes]


def vgg_seconds(config) -> float:
    """Median time of the encoder's forward pass over the negatives at HR size."""
    import mindspore as ms
    import numpy as np

    from csd.training.build import create_encoder

    encoder = create_encoder(config.loss)
    side = config.model.scale * config.data.lr_patch
    shape = (config.loss.negatives, 3, side, side)
    images = ms.Tensor(np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32))
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        encoder(images)[-1].asnumpy()
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])  # the first compiles


def name_kernels() -> None:
    """Give our Python kernels names that another process knows.

    A cached graph calls them by the address they had in the process that wrote it, and fails with
    "Python function with key... not registered" in every other one.
    """
    from mindspore.ops.operations._pyfunc_registry import add_pyfunc

    from csd.losses import contrastive

    initialise = contrastive.FusedAway.__init__

    def named(self):
        initialise(self)
        kernels = (
            (self.sum_and_signs, contrastive.contrastive_kernel.forward_and_release),
            (self.weigh, contrastive.contrastive_kernel.backward_and_release),
        )
        for number, (kernel, function) in enumerate(kernels, 1):
            add_pyfunc(number, function)
            kernel.add_prim_attr("fn_id", number)

    contrastive.FusedAway.__init__ = named


# --- the process that measures --------------------------------------------------------------------


def measure(
    settings: dict,
    steps: int,
    *,
    environ: dict | None = None,
    ranks: int = 1,
    extra: Sequence[str] = (),
) -> list[dict]:
    """What `child` found with these settings, of each rank."""
    with tempfile.TemporaryDirectory() as folder:
        output = f"{folder}/rank"
        command = [
            __file__, *words(settings), "--child", output, "--steps", str(steps),
            "--started", str(time.time()), *extra,
        ]  # fmt: skip
        env = {**os.environ, "GLOG_v": "4", **(environ or {})}
        if ranks == 1:
            command = [sys.executable, *command]
        else:
            with socket.socket() as free:
                free.bind(("", 0))
                port = free.getsockname()[1]
            env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
            command = [
                sys.executable, "-m", "mindspore.parallel.cluster.run", f"--worker_num={ranks}",
                f"--local_worker_num={ranks}", f"--master_port={port}", f"--log_dir={folder}/logs",
                "--join=True", "python3", *command, "--runtime.distributed=true",
            ]  # fmt: skip
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        found = sorted(Path(folder).glob("rank*"))
        if done.returncode or len(found) != ranks:
            logs = "\n".join(log.read_text() for log in Path(folder).glob("logs/worker_*.log"))
            raise WorkError(f"{' '.join(words(settings))}:\n{(done.stderr + logs)[-2000:]}")
        return [json.loads(file.read_text()) for file in found]


def grow(name: str, args: argparse.Namespace) -> None:
    """Step time and memory against one setting."""
    from cost import step_multiply_adds

    from csd.config import load_config
    from csd.settings import TRAIN

    title, key, values, small, other = SECTIONS[name]
    base = {**BASE, **other, **(SMALL if args.small else {})}
    extra = ["--vgg"] if name == "k" else []
    last, line = (" VGG forward of K, s |", "--:|") if extra else ("", "")
    print(
        f"| {title} | step s | images/s | 10^12 multiply-adds | 10^9 a second | peak GiB |{last}\n"
        f"|--:|--:|--:|--:|--:|--:|{line}"
    )
    for value in small if args.small else values:
        settings = {**base, key: value}
        rounds = [measure(settings, args.steps, extra=extra)[0] for _ in range(args.rounds)]
        seconds = median(s for found in rounds for s in found["seconds"])
        config = load_config(TRAIN, words(settings))
        work = sum(step_multiply_adds(config))
        print(
            f"| {value} | {seconds:.3f} | {config.train.batch_size / seconds:.2f} "
            f"| {work / 1e12:.3f} | {work / seconds / 1e9:.0f} "
            f"| {max(found['peak_gib'] for found in rounds):.2f} |"
            + (f" {median(found['vgg'] for found in rounds):.3f} |" if extra else ""),
            flush=True,
        )


def startup(args: argparse.Namespace) -> None:
    """Seconds until the first step is done, and what the framework's graph cache saves."""
    measure({**BASE, **SMALL}, 0)  # numba compiles our kernels once a machine
    print("Batch 2, LR patch 16, K = 2; medians of", f"{args.rounds}; seconds.\n")
    print("| network | graph cache | import | build | compile | first step | all |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for name, depth in (SMALL_DEPTHS if args.small else DEPTHS).items():
        settings = {**BASE, **START, **depth}
        expected = None
        with tempfile.TemporaryDirectory() as folder:
            for cache in ("off", "written", "read") if name in CACHED else ("off",):
                rounds = []
                for number in range(args.rounds):
                    # An empty folder each time, or the first of those that were filled.
                    place = f"{folder}/{0 if cache == 'read' else number}"
                    environ = {"MS_COMPILER_CACHE_ENABLE": "1", "MS_COMPILER_CACHE_PATH": place}
                    environ = None if cache == "off" else environ
                    rounds.append(measure(settings, 0, environ=environ)[0])
                expected = expected or rounds[0]["losses"]
                for found in rounds:  # a cached graph must be the same graph
                    pairs = zip(found["losses"], expected, strict=True)
                    if any(abs(a - b) > 1e-4 * abs(b) for a, b in pairs):
                        raise WorkError(f"{name}, cache {cache}: {found['losses']}, not {expected}")
                phases = [median(r["phases"][i] for r in rounds) for i in range(4)]
                cells = " | ".join(f"{seconds:.1f}" for seconds in (*phases, sum(phases)))
                print(f"| {name} | {cache} | {cells} |", flush=True)


def ranks(args: argparse.Namespace) -> None:
    """One process against two that share its threads, with its batch together and with it each."""
    threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    base = {**BASE, **(SMALL if args.small else {})}
    whole = base["train.batch_size"]
    base["loss.negatives"] = min(base["loss.negatives"], whole // 2)
    print(
        f"{threads} threads in all, K = {base['loss.negatives']}.\n\n"
        "| processes | threads each | batch each | step s | images/s | peak GiB each |\n"
        "|--:|--:|--:|--:|--:|--:|"
    )
    for count, batch in ((1, whole), (2, whole // 2), (2, whole)):
        share = str(max(1, threads // count))
        environ = {"OMP_NUM_THREADS": share, "NUMBA_NUM_THREADS": share}
        settings = {**base, "train.batch_size": batch}
        found = [
            rank
            for _ in range(args.rounds)
            for rank in measure(settings, args.steps, environ=environ, ranks=count)
        ]
        seconds = median(s for rank in found for s in rank["seconds"])
        print(
            f"| {count} | {share} | {batch} | {seconds:.3f} | {count * batch / seconds:.2f} "
            f"| {max(rank['peak_gib'] for rank in found):.2f} |",
            flush=True,
        )


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scaling.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("section", nargs="?", choices=[*SECTIONS, "startup", "ranks"])
    parser.add_argument("--small", action="store_true", help="tiny sizes")
    parser.add_argument("--steps", type=int, default=5, help="timed steps of a process (5)")
    parser.add_argument("--rounds", type=int, default=1, help="processes for each line (1)")
    for hidden in ("child", "started"):
        parser.add_argument(f"--{hidden}", help=argparse.SUPPRESS)
    parser.add_argument("--vgg", action="store_true", help=argparse.SUPPRESS)
    args, settings = parser.parse_known_args(argv)
    if args.child:
        child(settings, float(args.started), args.steps, args.child, args.vgg)
    elif settings or not args.section:
        parser.error(f"unknown {settings[0]}" if settings else "name a section")
    elif args.section == "startup":
        startup(args)
    elif args.section == "ranks":
        ranks(args)
    else:
        grow(args.section, args)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
