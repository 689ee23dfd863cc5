"""Time and memory of a CSD training step, beside a plain PyTorch implementation.

Both do the same steps on the same batch from the same weights, in turn, each in a process of its
own; the losses of the first step must agree to 1e-3. `conv kernels` is the time inside
convolutions, as oneDNN logs it in one more process: what this machine's kernels leave. `step /
kernels` compares it with the steps of that same process.
"""

import argparse
import json
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
SCALE, WIDTH, CONTRAST_WEIGHT = 4, 0.25, 200.0
LAYER_WEIGHTS = [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0]


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

    from csd.losses import CSDObjective
    from csd.training import CSDTrainOneStep

    if args.load:
        state = np.load(args.load)
        from csd.checkpoints import load_csd_state

        load_csd_state(net, {name: state[name] for name in state.files})
    objective = CSDObjective(
        net,
        encoder,
        student_width=WIDTH,
        contrast_weight=CONTRAST_WEIGHT,
        layer_weights=LAYER_WEIGHTS,
        implementation=args.implementation,
    )
    step = CSDTrainOneStep(objective, nn.Adam(net.trainable_params(), 1e-4)).set_train()
    tensors = [ms.Tensor(x) for x in batch(args)]
    return lambda: step(*tensors).asnumpy()[:4]


def run_torch(args, model):
    """The same in PyTorch, from the weights in `args.load`."""
    import torch
    from torch_step import TorchStep

    torch.set_num_threads(os.cpu_count() or 1)
    with np.load(args.load) as file:
        state = {name: file[name] for name in file.files if not name.startswith("vgg/")}
    with np.load(args.vgg) as file:
        count = len(file.files) // 2
        convs = [(file[f"{i}.weight"], file[f"{i}.bias"]) for i in range(count)]
    plan = json.loads(args.plan)
    model = {**model, "scale": SCALE}
    step = TorchStep(
        model, state, convs, plan["pools"], plan["taps"], WIDTH, LAYER_WEIGHTS, CONTRAST_WEIGHT
    )
    arrays = batch(args)
    return lambda: step(*arrays)


def child(args):
    """Run one side and print one JSON line."""
    model = CONFIGURATIONS[args.config]
    call = (run_torch if args.side == "torch" else run_mindspore)(args, model)
    first = [float(x) for x in call()]
    seconds = []
    for _ in range(args.steps):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"losses": first, "seconds": seconds, "peak_gib": peak}), flush=True)


def prepare(args, folder):
    """Files with the weights that both sides start from."""
    net, encoder, state = start_weights(CONFIGURATIONS[args.config])
    del net
    np.savez(folder / "net.npz", **state)
    convs = {}
    for i, cell in enumerate(encoder.convs):
        convs[f"{i}.weight"], convs[f"{i}.bias"] = cell.weight.asnumpy(), cell.bias.asnumpy()
    np.savez(folder / "vgg.npz", **convs)
    print(json.dumps({"pools": encoder.pools, "taps": encoder.taps}))


def launch(args, side, folder, plan, verbose=False):
    command = [sys.executable, __file__, "--side", side, "--config", args.config]
    for name in ("batch", "patch", "negatives", "steps"):
        command += [f"--{name}", str(getattr(args, name))]
    command += ["--load", f"{folder}/net.npz", "--vgg", f"{folder}/vgg.npz", "--plan", plan]
    if args.implementation:
        command += ["--implementation", args.implementation]
    env = {**os.environ, "GLOG_v": "3", **({"DNNL_VERBOSE": "1"} if verbose else {})}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr[-2000:]}")
    return done.stdout.splitlines()


def kernel_seconds(lines, steps):
    """Seconds a step spends in convolution kernels, from oneDNN's own log; the first left out."""
    found = [
        line for line in lines if re.match(r"(dnnl|onednn)_verbose,exec,cpu,convolution", line)
    ]
    timed = found[len(found) // (steps + 1) :]
    return sum(float(line.split(",")[-1]) for line in timed) / 1000 / steps


def compare(args):
    with tempfile.TemporaryDirectory() as folder:
        plan = launch(args, "prepare", folder, "{}")[-1]
        rounds = {"mindspore": [], "torch": []}
        for _ in range(args.rounds):  # in turn, so that the machine's moods meet both
            for side in rounds:
                rounds[side].append(json.loads(launch(args, side, folder, plan)[-1]))
        lines = launch(args, "mindspore", folder, plan, verbose=True)
    ours, theirs = rounds["mindspore"], rounds["torch"]
    np.testing.assert_allclose(ours[0]["losses"], theirs[0]["losses"], rtol=1e-3)
    t = {side: median(s for r in rs for s in r["seconds"]) for side, rs in rounds.items()}
    peak = {side: max(r["peak_gib"] for r in rs) for side, rs in rounds.items()}
    kernels = kernel_seconds(lines, args.steps)
    logged = mean(json.loads(lines[-1])["seconds"])  # of the process that wrote the log
    print(
        f"| {args.config} | {t['mindspore']:.2f} | {t['torch']:.2f} | "
        f"{t['torch'] / t['mindspore']:.2f} | {kernels:.2f} | {logged / kernels:.2f} | "
        f"{peak['mindspore']:.2f} | {peak['torch']:.2f} | "
        f"{peak['mindspore'] / peak['torch']:.2f} |",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default="all", choices=["all", *CONFIGURATIONS])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch", type=int, default=48, help="side of the LR patch")
    parser.add_argument("--negatives", type=int, default=10)
    parser.add_argument("--steps", type=int, default=3, help="timed steps a round")
    parser.add_argument("--rounds", type=int, default=2)
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
        print("x4, batch", args.batch, "LR patch", args.patch, "K", args.negatives)
        print("| network | step s | PyTorch s | ratio | conv kernels s | step / kernels "
              "| peak GiB | PyTorch GiB | ratio |")  # fmt: skip
        print("|---|---|---|---|---|---|---|---|---|", flush=True)
        for name in CONFIGURATIONS if args.config == "all" else [args.config]:
            compare(argparse.Namespace(**{**vars(args), "config": name}))


if __name__ == "__main__":
    main()
