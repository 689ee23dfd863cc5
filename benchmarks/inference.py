"""How fast the widths of a network are in each runtime on the CPU, and how fast they could be.

    python benchmarks/inference.py [--ckpt FILE] [--widths 1.0,0.5,0.25] [--size 320x480]

By default the network that comes along (EDSR 16 x 64, x4) on an image of 480 x 320, in one piece,
one image at a time, the same number of threads. `ms` is the network alone; `with files` adds what
infer.py does: read the PNG, round, write the result as PNG. Every engine runs in a process of its
own, in turn, several rounds, and its best round's median counts: another program on the machine
slows one round, not all. "csd" is what infer.py runs, the checkpoint in the engine of the CPU. The
limit is the network's multiply-adds at the rate of a large float32 matrix product. int8 files are
those given with --int8; csd_infer is left out where it has not been built, ncnn where it is not
installed (`pip install ncnn pnnx`).
"""

import argparse
import importlib.util
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
ENGINES = (
    "MindSpore", "PyTorch", "PyTorch channels_last", "ONNX Runtime", "ncnn", "OpenVINO", "csd",
    "OpenVINO int8", "csd_infer",
)  # fmt: skip
WARM = 1  # images before the clock counts


def prepare(folder: Path, args: argparse.Namespace) -> dict:
    """Write each width as MINDIR (also lowered), ONNX and plain weights, and the image.

    Returns what the table says of the network.
    """
    import numpy as np

    from csd import runtime

    runtime.setup("CPU", seed=1)
    from csd.checkpoints import load_network, network_state
    from csd.data import write_png
    from csd.evaluation.complexity import multiply_adds
    from csd.export.exporter import export_network
    from csd.export.lower import lower_mindir
    from csd.export.sizes import parse_sizes
    from csd.export.verify import sample_image
    from csd.inference import shipped_checkpoint
    from csd.nets import extract_student

    net, _ = load_network(args.ckpt or shipped_checkpoint(4))
    if net.name != "edsr":
        raise InputError(f"{args.ckpt} is a {net.name}; the PyTorch side knows EDSR alone")
    sizes = parse_sizes(args.size)
    if not sizes or len(sizes) > 1:
        raise InputError(f"--size {args.size}: give one height x width, such as 320x480")
    size = sizes[0]
    for width in args.widths:
        part = folder / f"{width:g}"
        for file_format in ("MINDIR", "ONNX"):
            (item,) = export_network(net, width, part, file_format=file_format, sizes=[size])
            item.path.replace(part / f"student{item.path.suffix}")
        lower_mindir(part / "student.mindir", part / "lowered.mindir")
        np.savez(part / "weights.npz", **network_state(extract_student(net, width)))
        out = tuple(net.scale * side for side in size)
        (part / "multiply_adds").write_text(str(multiply_adds(net, width, out)))
    pixels = sample_image(size)[0].transpose(1, 2, 0).astype(np.uint8)
    for i in range(WARM + args.runs):
        write_png(folder / "photos" / f"{i:02}.png", pixels)
    return net.describe()


def measure_peak() -> dict:
    """Multiply-adds a second of a large float32 matrix product, the best of several."""
    import numpy as np

    side, best = 2048, 0.0
    a, b = (np.random.default_rng(i).random((side, side), np.float32) for i in (0, 1))
    for _ in range(8):
        start = time.perf_counter()
        a @ b
        best = max(best, side**3 / (time.perf_counter() - start))
    return {"rate": best}


def engine(name: str, part: Path, args: argparse.Namespace, net: dict) -> Callable:
    """A function from float32 (1, 3, H, W) to the output array."""
    import numpy as np

    if name == "MindSpore":
        from csd import runtime

        runtime.setup("CPU", seed=1)
        import mindspore as ms

        ms.runtime.dispatch_threads_num(args.threads)
        graph = ms.nn.GraphCell(ms.load(str(part / "student.mindir")))
        return lambda image: graph(ms.Tensor(image)).asnumpy()
    if name == "ONNX Runtime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = args.threads
        session = onnxruntime.InferenceSession(str(part / "student.onnx"), options)
        feed = session.get_inputs()[0].name
        return lambda image: session.run(None, {feed: image})[0]
    if name == "ncnn":
        return ncnn_engine(part, args)
    if name.startswith("OpenVINO"):
        import openvino

        file = args.int8[part.name] if name.endswith("int8") else part / "student.onnx"
        settings = {"INFERENCE_NUM_THREADS": args.threads, "INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.Core().compile_model(str(file), "CPU", settings)
        return lambda image: compiled(image)[0]
    if name == "csd":
        import csd

        return csd.load(args.ckpt or "edsr_x4", width=float(part.name), device="CPU").engine
    import torch

    torch.set_num_threads(args.threads)
    from torch_networks import edsr

    last = name.endswith("channels_last")
    order = torch.channels_last if last else torch.contiguous_format
    state = {k: torch.from_numpy(v) for k, v in dict(np.load(part / "weights.npz")).items()}
    state = {k: v.to(memory_format=order) if v.ndim == 4 else v for k, v in state.items()}
    net = {**net, "n_feats": len(state["head.bias"])}

    def run(image):
        with torch.inference_mode():
            x = torch.from_numpy(image).to(memory_format=order)
            return edsr(state, net, x, 1.0).contiguous().numpy()

    return run


def ncnn_engine(part: Path, args: argparse.Namespace) -> Callable:
    """ncnn with float32 weights and arithmetic, of the ONNX file by pnnx."""
    import ncnn
    import numpy as np

    if not (part / "student.ncnn.param").is_file():
        height, width = args.size.split("x")
        shape = f"inputshape=[1,3,{height},{width}]f32"
        call = [str(pnnx_program()), "student.onnx", shape, "fp16=0"]
        subprocess.run(call, cwd=part, capture_output=True, check=True)
    net = ncnn.Net()
    net.opt.num_threads = args.threads
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{option}", False)
    net.load_param(str(part / "student.ncnn.param"))
    net.load_model(str(part / "student.ncnn.bin"))

    def run(image):
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(image[0]))
        return np.array(extractor.extract("out0")[1])[None]

    return run


def pnnx_program() -> Path | None:
    """The converter in its package, whose Python part is not needed; None: not installed."""
    found = importlib.util.find_spec("pnnx") if importlib.util.find_spec("ncnn") else None
    return Path(found.origin).with_name("pnnx") if found and found.origin else None


def measure(name: str, width: str, folder: Path, args: argparse.Namespace, net: dict) -> dict:
    """Median milliseconds of one engine in this process, and how far its output is from ours."""
    import numpy as np

    from csd.inference import ImageFile, read_image_file, to_uint8, write_image_file

    part = folder / width
    (part / "out").mkdir(exist_ok=True)
    run = engine(name, part, args, net)
    alone, whole = [], []
    for photo in sorted((folder / "photos").iterdir()):
        start = time.perf_counter()
        pixels = read_image_file(photo).pixels
        image = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)
        called = time.perf_counter()
        output = run(image)
        returned = time.perf_counter()
        upscaled = ImageFile(to_uint8(output[0].transpose(1, 2, 0)))
        write_image_file(part / "out" / photo.name, upscaled)
        alone.append(1000 * (returned - called))
        whole.append(1000 * (time.perf_counter() - start))
    expected = part / "expected.npy"
    if not expected.is_file():
        np.save(expected, output)
    return {
        "ms": statistics.median(alone[WARM:]),
        "with_files": statistics.median(whole[WARM:]),
        "difference": float(np.abs(output - np.load(expected)).max()),
    }


def measure_csd_infer(program: Path, width: str, folder: Path, threads: int) -> dict:
    """The same for the C++ program; its output has been rounded to bytes."""
    import numpy as np

    from csd.data.images import read_image
    from csd.inference import to_uint8

    part = folder / width
    options = {
        "--model": part / "lowered.mindir", "--input": folder / "photos",
        "--output": part / "out", "--threads": threads, "--json": part / "stats.json",
    }  # fmt: skip
    words = [str(word) for pair in options.items() for word in pair]
    done = subprocess.run([str(program), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkError(f"csd_infer failed: {done.stderr.strip()}")
    images = json.loads((part / "stats.json").read_text())["images"][WARM:]
    output = read_image(part / "out" / Path(images[-1]["output"]).name)
    expected = to_uint8(np.load(part / "expected.npy")[0].transpose(1, 2, 0))
    phases = ("before_ms", "inference_ms", "after_ms")
    return {
        "ms": statistics.median(item["inference_ms"] for item in images),
        "with_files": statistics.median(sum(item[p] for p in phases) for item in images),
        "difference": float(np.abs(output.astype(int) - expected).max()),
    }


def table(
    results: dict[tuple[str, str], list[dict]], net: dict, limits: dict, args: argparse.Namespace
) -> str:
    """Markdown; width by width, the widest first. limits: width -> (multiply-adds, ms)."""
    best = {key: min(rounds, key=lambda r: r["ms"]) for key, rounds in results.items()}
    hyper = ", ".join(f"{key} {value}" for key, value in net.items())
    widest = f"{max(args.widths):g}"
    lines = [
        f"{hyper}; input {args.size} (height x width), {args.threads} CPU threads; best of "
        f"{args.rounds} rounds, each the median of {args.runs} images.",
        "",
        f"| runtime | width | ms per image | speed-up over {widest} | with files, ms | "
        f"speed-up over {widest} | all rounds, ms | largest difference, of 255 |",
        "|---|---:|---:|---:|---:|---:|---|---:|",
    ]
    for (name, width), found in best.items():
        teacher = best.get((name, widest), found)
        speedups = [teacher[key] / found[key] for key in ("ms", "with_files")]
        rounds = ", ".join(f"{r['ms']:.0f}" for r in results[name, width])
        lines.append(
            f"| {name} | {width} | {found['ms']:.1f} | {speedups[0]:.2f} | "
            f"{found['with_files']:.1f} | {speedups[1]:.2f} | {rounds} | "
            f"{found['difference']:.2g} |"
        )
    for width, (multiply_adds, ms) in limits.items():
        lines.append(
            f"| limit: {multiply_adds / 1e9:.1f} G multiply-adds | {width} | {ms:.1f} |" + " |" * 5
        )
    lines += [
        "",
        "Differences are from MindSpore's output at the same width; csd_infer's is rounded to "
        "bytes, and compared with rounded values.",
    ]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="inference.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--ckpt", help="an EDSR (the x4 that comes along)")
    parser.add_argument("--widths", type=widths, default="1.0,0.5,0.25", help="1.0,0.5,0.25")
    parser.add_argument("--size", default="320x480", help="of the image, HxW (320x480)")
    parser.add_argument("--int8", nargs="*", default=[], help="OpenVINO files of export.py, .xml")
    parser.add_argument("--program", default=str(ROOT / "ascend310_infer/build/csd_infer"))
    parser.add_argument(
        "--threads", type=int, default=os.environ.get("OMP_NUM_THREADS") or os.cpu_count()
    )
    parser.add_argument("--rounds", type=int, default=3, help="processes of each engine (3)")
    parser.add_argument("--runs", type=int, default=5, help="images in each (5)")
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)  # name, width, folder
    args = parser.parse_args(argv)
    args.int8 = dict(map(int8_file, args.int8))
    if args.step:
        name, width, folder = args.step[0], args.step[1], Path(args.step[2])
        facts = folder / "net.json"
        if name == "prepare":
            facts.write_text(json.dumps(prepare(folder, args)))
        elif name == "peak":
            print(json.dumps(measure_peak()))
        else:
            print(json.dumps(measure(name, width, folder, args, json.loads(facts.read_text()))))
        return 0
    program, engines = Path(args.program), list(ENGINES)
    if not program.is_file():
        engines.remove("csd_infer")
        print(
            f"without csd_infer: there is no {program}; bash ascend310_infer/build.sh "
            "$(bash scripts/fetch_mindspore_lite.sh) makes it",
            file=sys.stderr,
        )
    if pnnx_program() is None:
        engines.remove("ncnn")
        print("without ncnn: `pip install ncnn pnnx` brings it", file=sys.stderr)
    names = [f"{width:g}" for width in args.widths]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        step(folder, "prepare", "", args.threads, argv)
        net = json.loads((folder / "net.json").read_text())
        results = {
            (name, width): []
            for width in names
            for name in engines
            if name != "OpenVINO int8" or width in args.int8
        }
        rate = 0.0
        for _ in range(args.rounds):
            peak = step(folder, "peak", "", args.threads, argv)
            rate = max(rate, json.loads(peak)["rate"])
            for (name, width), rounds in results.items():
                if name == "csd_infer":
                    rounds.append(measure_csd_infer(program, width, folder, args.threads))
                else:
                    rounds.append(json.loads(step(folder, name, width, args.threads, argv)))
        counts = {width: int((folder / width / "multiply_adds").read_text()) for width in names}
    limits = {width: (count, 1000 * count / rate) for width, count in counts.items()}
    text = table(results, net, limits, args)
    print(text, end="")
    if args.output:
        args.output.write_text(text, encoding="utf-8")
    return 0


def int8_file(file: str) -> tuple[str, str]:
    """(width, file) of a quantised network, by the description beside it."""
    description = Path(f"{file}.json")
    try:
        return f"{json.loads(description.read_text())['width']:g}", file
    except (OSError, ValueError, KeyError):
        raise InputError(f"{description} does not say the width of {file}") from None


def widths(text: str) -> list[float]:
    """The widths of a comma-separated list, the widest first."""
    return sorted({float(word) for word in text.split(",")}, reverse=True)


def step(folder: Path, name: str, width: str, threads: int, argv: Sequence[str]) -> str:
    """Run one step in a process of its own; the last line that it printed."""
    command = [sys.executable, __file__, *argv, "--step", name, width, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "GLOG_v": "4"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WorkError(f"{name} failed: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


if __name__ == "__main__":
    sys.exit(run_main(main))
