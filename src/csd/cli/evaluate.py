"""Evaluate teacher, student and bicubic on test sets: `python eval.py --help`."""

from collections.abc import Sequence
from pathlib import Path

from easydict import EasyDict

from csd.config import load_config
from csd.errors import InputError

DESCRIPTION = """PSNR and SSIM of a checkpoint, at every width it was trained at, and of bicubic.

  python eval.py --ckpt best.ckpt --data_dir DATA --sets Set5,Set14
  python eval.py --model bicubic --data_dir DATA --sets Set5 --scale 4

A set is a name below DATA or DATA/benchmark, or a folder (<Set>/HR, DIV2K, or plain photographs).
Writes metrics.json, per_image.csv and metrics.md, with several widths a curve of quality against
speed and size, widths.svg, and with --save_images the pictures, into --output_dir (default:
output/eval). --width also takes widths that were not trained; they are marked."""


def _sets(names: Sequence[str], data: EasyDict, scale: int) -> dict:
    """Label -> photographs; a folder is labelled by its own name."""
    from csd.data import benchmark_pairs, check_pair

    if not names:
        raise InputError("no set to evaluate; name some: --sets Set5,Set14")
    sets = {}
    for name in names:
        label = Path(name).name or Path(name).resolve().name
        if label in sets:
            raise InputError(f"two sets are called {label}; evaluate them one at a time")
        sets[label] = benchmark_pairs(data.data_dir, name, scale, data.lr)
        for pair in sets[label]:
            check_pair(pair, scale)
    return sets


def main(argv: Sequence[str]) -> int:
    config = load_config("eval", argv, DESCRIPTION)
    options = config.eval
    if options.model == "bicubic" and options.ckpt:
        raise InputError("--model bicubic needs no --ckpt; the bicubic row is always in the table")
    if options.model != "bicubic" and not options.ckpt:
        raise InputError("nothing to evaluate; give --ckpt FILE, or --model bicubic --scale 4")
    if options.model == "bicubic" and options.scale is None:
        raise InputError("--model bicubic needs --scale 2, 3 or 4")
    output_dir = Path(config.runtime.output_dir or "output/eval")

    net, trained, widths = None, [], []
    if options.ckpt:
        from csd import runtime
        from csd.checkpoints import load_network

        if not Path(options.ckpt).is_file():
            raise InputError(
                f"no checkpoint {options.ckpt}; train.py writes best.ckpt and last.ckpt"
            )
        runtime.setup(
            config.runtime.device_target,
            jit_level=config.runtime.jit_level,
            precision_mode=config.runtime.precision_mode,
        )
        net, meta = load_network(options.ckpt)
        if options.scale is not None and options.scale != net.scale:
            raise InputError(
                f"{options.ckpt} was trained for scale {net.scale}, not {options.scale}; "
                "leave --scale out or give the checkpoint of that scale"
            )
        trained = meta.get("widths") or [1.0]
        widths = list(dict.fromkeys(options.width or trained))
    scale = net.scale if net is not None else options.scale

    from tqdm import tqdm

    from csd import evaluation
    from csd.reporting import write_width_curve

    sets = _sets(options.sets, config.data, scale)
    methods = [evaluation.bicubic_method(scale, options.bicubic_kernel)]
    if net is not None:
        methods += evaluation.network_methods(
            net,
            widths,
            self_ensemble=options.self_ensemble,
            tile=options.tile or None,
            trained=trained,
        )
    bar = tqdm(total=sum(map(len, sets.values())), unit="image", disable=None)

    def progress(name: str) -> None:
        bar.set_postfix_str(name, refresh=False)
        bar.update()

    metrics = evaluation.evaluate(
        methods,
        sets,
        scale,
        model=None if net is None else net.describe(),
        ckpt=options.ckpt or None,
        save_dir=output_dir / "images" if options.save_images else None,
        progress=progress,
    )
    bar.close()
    evaluation.write_metrics(output_dir, metrics)
    curve = write_width_curve(output_dir, metrics)
    print(evaluation.console_table(metrics))
    files = "per_image.csv, metrics.md" + (", widths.svg" if curve else "")
    print(f"written: {output_dir / 'metrics.json'}, {files}")
    return 0
