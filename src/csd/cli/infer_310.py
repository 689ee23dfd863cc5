"""Steps of scripts/run_infer_310.sh that need Python: models, inputs, score."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from csd.errors import InputError


def _sets(data_dir: str, scale: int) -> dict:
    """Name -> pairs of a set's folder, or of every set in a folder of sets."""
    from csd.data import benchmark_pairs

    root = Path(data_dir)
    if not root.is_dir():
        raise InputError(f"no folder {root}")
    for folder in (root, root / "benchmark"):
        folders = (
            sorted(d for d in folder.iterdir() if (d / "HR").is_dir()) if folder.is_dir() else []
        )
        if folders:
            return {d.name: benchmark_pairs(folder, d.name, scale) for d in folders}
    return {root.resolve().name: benchmark_pairs(root.parent, str(root), scale)}


def _models(args: argparse.Namespace) -> None:
    from csd.evaluation.board import model_files
    from csd.export.lower import lower_mindir

    folder = Path(args.output) / "models"
    for file in model_files(args.model, args.device):
        if args.lower:
            folder.mkdir(parents=True, exist_ok=True)
            lower_mindir(file, folder / file.name)
        print(folder / file.name if args.lower else file)


def _inputs(args: argparse.Namespace) -> None:
    from csd.evaluation.board import describe, model_files, write_inputs

    facts = describe(model_files(args.model, args.device)[0])
    for name, pairs in _sets(args.data_dir, facts["scale"]).items():
        write_inputs(pairs, facts["scale"], Path(args.output) / name / "lr")
        print(name)


def _score(args: argparse.Namespace) -> None:
    from csd import evaluation
    from csd.evaluation.board import describe, model_files, score_outputs

    output = Path(args.output)
    facts = describe(model_files(args.model, args.device)[0])
    sets = _sets(args.data_dir, facts["scale"])
    outputs = {name: output / name / "sr" for name in sets}
    stats = {name: output / name / "stats.json" for name in sets}
    row = score_outputs(facts, sets, outputs, stats)
    metrics = evaluation.evaluate(
        [evaluation.bicubic_method(facts["scale"])],
        sets,
        facts["scale"],
        model={key: v for key, v in facts["architecture"].items() if key != "scale"},
    )
    metrics["runs"].append(row)
    evaluation.write_metrics(output, metrics)
    print(evaluation.console_table(metrics))
    totals = [json.loads(path.read_text())["total"] for path in stats.values()]
    seconds = sum(total["seconds"] for total in totals)
    images = sum(total["images"] for total in totals)
    pixels = sum(total["seconds"] * total["megapixels_per_second"] for total in totals)
    print(f"{images / seconds:.2f} images/s, {pixels / seconds:.2f} output megapixels/s")


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    parser = argparse.ArgumentParser(prog="infer_310.py", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, action, text in (
        ("models", _models, "print the models that the device takes"),
        ("inputs", _inputs, "write OUTPUT/<Set>/lr/<name>.png, print the sets"),
        ("score", _score, "compare OUTPUT/<Set>/sr with the originals, print the table"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(action=action)
        command.add_argument("--model", required=True, help="MINDIR, or a folder of them")
        command.add_argument("--output", required=True, help="folder to write to")
        command.add_argument("--device", choices=("Ascend", "CPU"), required=True)
        if name == "models":
            command.add_argument(
                "--lower", action="store_true", help="rewrite them for MindSpore Lite 2.0"
            )
        else:
            command.add_argument("--data_dir", required=True, help="a set, or a folder of sets")
    args = parser.parse_args(argv)

    from csd import runtime

    runtime.prepare_environment()
    args.action(args)
    return 0
