"""Train a teacher, a student, both jointly, or by contrastive self-distillation (CSD)."""

import sys
from collections.abc import Sequence

from csd.config import TRAIN, load_config
from csd.errors import run_main


def main(argv: Sequence[str]) -> int:
    config = load_config(TRAIN, argv, __doc__)
    if not config.runtime.output_dir:
        name = f"{config.train.recipe}_{config.model.name}_x{config.model.scale}"
        config.runtime.output_dir = f"output/{name}"

    from csd import runtime

    runtime.prepare_environment(config.data.cache_dir)  # before anything imports MindSpore
    from csd.training import train

    folder = train(config)
    if config.runtime.distributed:
        return 0
    print(f"done: {folder}/best.ckpt, {folder}/last.ckpt, {folder}/metrics.csv")
    return 0


if __name__ == "__main__":
    sys.exit(run_main(main))
