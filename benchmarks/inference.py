"""Speed of one student in MindSpore, ONNX Runtime, PyTorch and csd_infer: one table.

EDSR, 16 features, 8 residual blocks, x4, input 160 x 120, on the CPU, the whole image, one picture
at a time, the same number of threads. Every engine runs in a process of its own, in turn, several
rounds, and its best round's median counts: another program on the machine slows one round, not all.
csd_infer's time is that of inference alone, as is everybody else's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from csd.errors import InputError, WorkError, run_main

ROOT = Path(__file__).resolve().parents[1]
HYPER = {"n_feats": 16, "n_resblocks": 8, "res_scale": 1.0}
SCALE, HEIGHT, WIDTH = 4, 120, 160
ENGINES = ("MindSpore", "ONNX Runtime", "PyTorch", "csd_infer")


def prepare(folder: Path) -> None:
    """Write the student as MINDIR (also lowered) and ONNX, its weights, and a photograph."""
    import numpy as np

    from csd import runtime

    runtime.setup("CPU", seed=1)
    from csd.data import write_png
    from csd.deploy.export import export_network
    from csd.deploy.lower import lower_mindir
    from csd.deploy.verify import photograph
    from csd.nets import create_model
    from csd.weights import network_state

    net = create_model("edsr", scale=SCALE, **HYPER)
    np.savez(folder / "weights.npz", **network_state(net))
    for file_format in ("MINDIR", "ONNX"):
        (item,) = export_network(net, 1.0, folder, file_format=file_format, sizes=[(HEIGHT, WIDTH)])
        item.path.replace(folder / f"student{item.path.suffix}")
    lower_mindir(folder / "student.mindir", folder / "lowered.mindir")
    image = photograph((HEIGHT, WIDTH))
    np.save(folder / "input.npy", image)
    pixels = image[0].transpose(1, 2, 0).astype(np.uint8)
    for i in range(12):
        write_png(folder / "photos" / f"{i:02}.png", pixels)


def torch_network(weights: dict) -> Callable:
    """The student in PyTorch, from the MindSpore weights."""
    import torch
    from torch.nn import functional

    w = {name: torch.from_numpy(value) for name, value in weights.items()}
    mean = torch.tensor([0.4488, 0.4371, 0.4040]).reshape(1, 3, 1, 1) * 255

    def conv(x, name):
        return functional.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], padding=1)

    def run(x):
        with torch.inference_mode():
            h = r = conv(x - mean, "head")
            for i in range(HYPER["n_resblocks"]):
                r = r + conv(torch.relu(conv(r, f"body.{i}.conv1")), f"body.{i}.conv2")
            r = conv(r, "body_conv") + h
            for i in range(2):
                r = functional.pixel_shuffle(conv(r, f"upsampler.blocks.{i}"), 2)
            return conv(r, "tail_conv") + mean

    return run


def engine(name: str, folder: Path, threads: int) -> Callable:
    """A function without arguments that runs the photograph once and returns the output array."""
    import numpy as np

    image = np.load(folder / "input.npy")
    if name == "MindSpore":
        from csd import runtime

        runtime.setup("CPU", seed=1)
        import mindspore as ms

        ms.runtime.dispatch_threads_num(threads)
        graph = ms.nn.GraphCell(ms.load(str(folder / "student.mindir")))
        tensor = ms.Tensor(image)
        return lambda: graph(tensor).asnumpy()
    if name == "ONNX Runtime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(folder / "student.onnx"), options)
        feed = {session.get_inputs()[0].name: image}
        return lambda: session.run(None, feed)[0]
    import torch

    torch.set_num_threads(threads)
    run, tensor = torch_network(dict(np.load(folder / "weights.npz"))), torch.from_numpy(image)
    return lambda: run(tensor).numpy()


def measure(name: str, folder: Path, threads: int) -> dict:
    """Median milliseconds of one engine in this process, and how far its output is from ours."""
    import numpy as np

    run = engine(name, folder, threads)
    for _ in range(3):
        output = run()
    times = []
    for _ in range(15):
        start = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - start))
    expected = folder / "expected.npy"
    if not expected.is_file():
        np.save(expected, output)
    difference = float(np.abs(output - np.load(expected)).max())
    return {"ms": statistics.median(times), "difference": difference}


def measure_csd_infer(program: Path, folder: Path, threads: int) -> dict:
    """The same for the C++ program; its output has been rounded to bytes."""
    import numpy as np

    from csd.data.images import read_image

    options = {
        "--model": folder / "lowered.mindir", "--input": folder / "photos",
        "--output": folder / "out", "--threads": threads, "--json": folder / "stats.json",
    }  # fmt: skip
    words = [str(word) for pair in options.items() for word in pair]
    done = subprocess.run([str(program), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkError(f"csd_infer failed: {done.stderr.strip()}")
    images = json.loads((folder / "stats.json").read_text())["images"]
    output = read_image(folder / "out" / "11.png").transpose(2, 0, 1)
    expected = np.clip(np.load(folder / "expected.npy")[0], 0, 255)
    difference = float(np.abs(output - np.floor(expected + 0.5)).max())
    return {
        "ms": statistics.median(item["inference_ms"] for item in images[2:]),
        "difference": difference,
    }


def table(results: dict[str, list[dict]], threads: int) -> str:
    """Markdown; the fastest engine first."""
    best = {name: min(rounds, key=lambda r: r["ms"]) for name, rounds in results.items()}
    lines = [
        f"EDSR 16 x 8, x{SCALE}, input {WIDTH} x {HEIGHT}, {threads} CPU threads; best of "
        f"{len(next(iter(results.values())))} rounds.",
        "",
        "| engine | ms per image | all rounds | largest difference, grey levels |",
        "|---|---:|---|---:|",
    ]
    for name in sorted(best, key=lambda n: best[n]["ms"]):
        rounds = ", ".join(f"{r['ms']:.1f}" for r in results[name])
        lines.append(
            f"| {name} | {best[name]['ms']:.1f} | {rounds} | {best[name]['difference']:.2g} |"
        )
    lines += ["", "csd_infer's output is rounded to bytes; it is compared with rounded values."]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="inference.py", description=__doc__)
    parser.add_argument("--program", default=str(ROOT / "ascend310_infer/build/csd_infer"))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", default=str(ROOT / "benchmarks/inference.md"))
    parser.add_argument("--step", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.step:
        name, folder = args.step[0], Path(args.step[1])
        if name == "prepare":
            prepare(folder)
        else:
            print(json.dumps(measure(name, folder, args.threads)))
        return 0
    program = Path(args.program)
    if not program.is_file():
        raise InputError(
            f"no {program}; build it: bash ascend310_infer/build.sh "
            "$(bash scripts/fetch_mindspore_lite.sh)"
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        step(folder, "prepare", args.threads)
        results: dict[str, list[dict]] = {name: [] for name in ENGINES}
        for _ in range(args.rounds):
            for name in ENGINES[:-1]:
                results[name].append(json.loads(step(folder, name, args.threads)))
            results["csd_infer"].append(measure_csd_infer(program, folder, args.threads))
    text = table(results, args.threads)
    Path(args.output).write_text(text, encoding="utf-8")
    print(text, end="")
    return 0


def step(folder: Path, name: str, threads: int) -> str:
    """Run one step in a process of its own; the last line that it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "GLOG_v": "4"}
    command = [sys.executable, __file__, "--threads", str(threads), "--step", name, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkError(f"{name} failed: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


if __name__ == "__main__":
    sys.exit(run_main(main))
