"""Turn run folders of train.py and eval.py into one HTML page: `python tools/report.py --help`."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    parser = argparse.ArgumentParser(
        prog="report.py",
        description="Write one self-contained HTML page: tables, curves, quality against size and "
        "speed, crops, configuration. It opens without a network.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN_DIR", help="folder of train.py or eval.py")
    parser.add_argument("--output", default="output/report.html", metavar="FILE")
    parser.add_argument("--title", default="Contrastive self-distillation: report")
    args = parser.parse_args(argv)

    from csd.reporting.report import load_run, write_report

    write_report(Path(args.output), [load_run(run) for run in args.runs], title=args.title)
    print(f"written: {args.output}")
    return 0
