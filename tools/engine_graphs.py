"""Write the graphs of the shipped networks for engines that read ONNX (no weights in them).

    python tools/engine_graphs.py

Needed when a shipped checkpoint has another architecture or other widths, not for other weights.
"""

import argparse
import sys
from collections.abc import Sequence

from csd.errors import run_main


def main(argv: Sequence[str]) -> int:
    """Write the graphs that come with the package."""
    argparse.ArgumentParser(prog="engine_graphs.py", description=__doc__).parse_args(list(argv))
    from csd import runtime

    runtime.setup("CPU")
    from csd.checkpoints import load_checkpoint
    from csd.export.graph import weightless_graph
    from csd.inference.engines.graphs import SHIPPED, graph_name

    wanted = {}
    for path in sorted(SHIPPED.parent.glob("*.ckpt")):
        meta = load_checkpoint(path).meta
        for width in meta["widths"]:
            wanted[graph_name(meta["model"], float(width))] = (meta["model"], float(width))
    SHIPPED.mkdir(exist_ok=True)
    for path in SHIPPED.glob("*.onnx"):
        if path.name not in wanted:
            path.unlink()
    for name, (model, width) in wanted.items():
        (SHIPPED / name).write_bytes(weightless_graph(model, width))
        print(SHIPPED / name)
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
