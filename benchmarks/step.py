"""Time and memory of a CSD training step, beside PyTorch: plain, and as a careful user writes it.

All do the same steps on the same batch from the same weights, in turn, each in a process of its
own; the losses of the first step must agree to 1e-3. `--careful` leaves the plain one out.
`--config student` is the step of a student alone (EDSR 8 x 16, L1), against PyTorch channels_last.

`conv kernels` is the time inside convolutions, as oneDNN logs it in one more process: what this
machine's kernels leave. `step / kernels` compares it with the steps of that same process. On a
machine that others use, `--threads 1 --cpu_time` counts processor time instead, without those two.
"""

import argparse
import json
import math
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, median

import numpy as np

CONFIGURATIONS = {
    "edsr8": {"name": "edsr", "n_feats": 64, "n_resblocks": 8, "res_scale": 1.0},
    "edsr16": {"name": "edsr", "n_feats": 64, "n_resblocks": 16, "res_scale": 1.0},
    "rcan": {
        "name": "rcan",
        "n_feats": 64,
        "n_resgroups": 2,
        "n_resblocks": 4,
        "reduction": 16,
        "n_squeezed": 4,
    },
    "carn": {"name": "carn", "n_feats": 64},
}
STUDENT = {"name": "edsr", "n_feats": 16, "n_resblocks": 8, "res_scale": 1.0}
STUDENT_PATCH = 32
SCALE, WIDTH, CONTRAST_WEIGHT = 4, 0.25, 200.0
BASELINES = ("plain", "careful")
LAYER_WEIGHTS = [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0]


def model_of(config):
    return STUDENT if config == "student" else CONFIGURATIONS[config]


def batch(args):
    """uint8 lr (B, 3, p, p) and hr; the negatives at HR size, float32."""
    from csd.data import imresize_bicubic

    rng = np.random.default_rng(0)
    lr = rng.integers(0, 256, (args.batch, 3, args.patch, args.patch), dtype=np.uint8)
    side = SCALE * args.patch
    hr = rng.integers(0, 256, (args.batch, 3, side, side), dtype=np.uint8)
    up = [imresize_bicubic(x.transpose(1, 2, 0), SCALE).transpose(2, 0, 1)
          for x in lr[: args.negatives]]  # fmt: skip
    return lr.astype(np.float32), hr.astype(np.float32), np.stack(up).astype(np.float32)


def start_weights(model):
    """Weights that neither framework's defaults decide."""
    from csd import runtime

    runtime.setup("CPU")
    from csd.checkpoints import network_state
    from csd.nets import VGG19_LAYERS, VGGEncoder, create_model

    net = create_model(
        model["name"], scale=SCALE, **{k: v for k, v in model.items() if k != "name"}
    )
    encoder = VGGEncoder(VGG19_LAYERS)
    encoder.load_random_weights()
    return net, encoder, network_state(net)


def run_mindspore(args, model):
    """One step after another in MindSpore: seconds and the four losses of each."""
    net, encoder, _ = start_weights(model)
    import mindspore as ms
    from mindspore import nn

    from csd.losses import CSDObjective, ReconstructionObjective
    from csd.training import CSDTrainOneStep

    if args.load:
        state = np.load(args.load)
        from csd.checkpoints import load_csd_state

        load_csd_state(net, {name: state[name] for name in state.files})
    alone = args.config == "student"
    objective = (
        ReconstructionObjective(net)
        if alone
        else CSDObjective(
            net,
            encoder,
            student_width=WIDTH,
            contrast_weight=CONTRAST_WEIGHT,
            layer_weights=LAYER_WEIGHTS,
            implementation=args.implementation,
        )
    )
    step = CSDTrainOneStep(objective, nn.Adam(net.trainable_params(), 1e-4)).set_train()
    tensors = [ms.Tensor(x) for x in batch(args)[: 2 if alone else 3]]
    return lambda: step(*tensors).asnumpy()[: 1 if alone else 4]


def run_torch(args, model):
    """The same in PyTorch, from the weights in `args.load`."""
    import torch
    from torch_step import CarefulStep, StudentStep, TorchStep

    torch.set_num_threads(args.threads)
    with np.load(args.load) as file:
        state = {name: file[name] for name in file.files if not name.startswith("vgg/")}
    with np.load(args.vgg) as file:
        count = len(file.files) // 2
        convs = [(file[f"{i}.weight"], file[f"{i}.bias"]) for i in range(count)]
    plan = json.loads(args.plan)
    model = {**model, "scale": SCALE}
    if args.config == "student":
        student = StudentStep(model, state)
        lr, hr, _ = batch(args)
        return lambda: student(lr, hr)
    step = (CarefulStep if args.side == "careful" else TorchStep)(
        model, state, convs, plan["pools"], plan["taps"], WIDTH, LAYER_WEIGHTS, CONTRAST_WEIGHT
    )
    arrays = batch(args)
    return lambda: step(*arrays)


def child(args):
    """Run one side and print one JSON line."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-args.threads :])  # before any import
    clock = time.process_time if args.cpu_time else time.perf_counter
    model = model_of(args.config)
    call = (run_mindspore if args.side == "mindspore" else run_torch)(args, model)
    first = [float(x) for x in call()]
    seconds = []
    for _ in range(args.steps):
        start = clock()
        call()
        seconds.append(clock() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"losses": first, "seconds": seconds, "peak_gib": peak}), flush=True)


def prepare(args, folder):
    """Files with the weights that both sides start from."""
    net, encoder, state = start_weights(model_of(args.config))
    del net
    np.savez(folder / "net.npz", **state)
    convs = {}
    for i, cell in enumerate(encoder.convs):
        convs[f"{i}.weight"], convs[f"{i}.bias"] = cell.weight.asnumpy(), cell.bias.asnumpy()
    np.savez(folder / "vgg.npz", **convs)
    print(json.dumps({"pools": encoder.pools, "taps": encoder.taps}))


def launch(args, side, folder, plan, verbose=False):
    command = [sys.executable, __file__, "--side", side, "--config", args.config]
    for name in ("batch", "patch", "negatives", "steps", "threads"):
        command += [f"--{name}", str(getattr(args, name))]
    command += ["--load", f"{folder}/net.npz", "--vgg", f"{folder}/vgg.npz", "--plan", plan]
    if args.cpu_time:
        command.append("--cpu_time")
    if args.implementation:
        command += ["--implementation", args.implementation]
    env = {**os.environ, "GLOG_v": "3", **({"DNNL_VERBOSE": "1"} if verbose else {})}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        sys.exit(f"{side} failed with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout.splitlines()


def kernel_seconds(lines, steps):
    """Seconds a step spends in convolution kernels, from oneDNN's own log; the first left out."""
    found = [
        line for line in lines if re.match(r"(dnnl|onednn)_verbose,exec,cpu,convolution", line)
    ]
    timed = found[len(found) // (steps + 1) :]
    return sum(float(line.split(",")[-1]) for line in timed) / 1000 / steps


def measure(args, sides):
    """Rounds of every side in turn, so that the machine's moods meet all, and kernel seconds.

    Returns (median seconds of a step, peak GiB) by side, kernel seconds of ours, step / kernels.
    """
    with tempfile.TemporaryDirectory() as folder:
        plan = launch(args, "prepare", folder, "{}")[-1]
        rounds = {side: [] for side in sides}
        for _ in range(args.rounds):
            for side in rounds:
                rounds[side].append(json.loads(launch(args, side, folder, plan)[-1]))
        lines = None if args.cpu_time else launch(args, "mindspore", folder, plan, verbose=True)
    for side in sides:
        ours, theirs = (rounds[which][0]["losses"] for which in ("mindspore", side))
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, err_msg=side)
    seconds = {side: median(s for r in rs for s in r["seconds"]) for side, rs in rounds.items()}
    peak = {side: max(r["peak_gib"] for r in rs) for side, rs in rounds.items()}
    if lines is None:  # oneDNN logs what the clock on the wall says
        return seconds, peak, math.nan, math.nan
    kernels = kernel_seconds(lines, args.steps)
    logged = mean(json.loads(lines[-1])["seconds"])  # of the process that wrote the log
    return seconds, peak, kernels, logged / kernels


def compare(args):
    """One row: ours, each baseline and how many times our seconds and GiB it takes."""
    baselines = BASELINES if args.config != "student" else ("careful",)
    sides = [side for side in baselines if side == "careful" or not args.careful]
    seconds, peak, kernels, share = measure(args, ["mindspore", *sides])
    cells = [args.config, f"{seconds['mindspore']:.3g}", f"{kernels:.3g}", f"{share:.2f}"]
    cells.append(f"{peak['mindspore']:.2f}")
    for side in BASELINES:
        if side not in sides:
            cells += ["", ""]
            continue
        cells.append(f"{seconds[side]:.3g} ({seconds[side] / seconds['mindspore']:.2f})")
        cells.append(f"{peak[side]:.2f} ({peak[side] / peak['mindspore']:.2f})")
    print(f"| {' | '.join(cells)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="all", choices=["all", "student", *CONFIGURATIONS])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch", type=int, help="side of the LR patch: 48, of `student` 32")
    parser.add_argument("--negatives", type=int, default=10)
    parser.add_argument("--steps", type=int, default=3, help="timed steps a round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--cpu_time", action="store_true", help="seconds of processor time")
    parser.add_argument("--careful", action="store_true", help="leave the plain baseline out")
    parser.add_argument("--implementation", choices=["fused", "portable"])
    for hidden in ("side", "load", "vgg", "plan"):
        parser.add_argument(f"--{hidden}", help=argparse.SUPPRESS)
    args = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    if args.side == "prepare":
        prepare(args, Path(args.load).parent)
    elif args.side:
        child(args)
    else:
        print(
            f"x4, batch {args.batch}, K {args.negatives}; threads {args.threads}; "
            "in brackets: times ours"
        )
        print("| network | step s | conv kernels s | step / kernels | peak GiB "
              "| PyTorch plain s | GiB | PyTorch careful s | GiB |")  # fmt: skip
        print("|---|---|---|---|---|---|---|---|---|", flush=True)
        for name in [*CONFIGURATIONS, "student"] if args.config == "all" else [args.config]:
            patch = args.patch or (STUDENT_PATCH if name == "student" else 48)
            compare(argparse.Namespace(**{**vars(args), "config": name, "patch": patch}))


if __name__ == "__main__":
    main()
