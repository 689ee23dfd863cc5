"""Train a teacher, a student, both jointly, or by contrastive self-distillation (CSD)."""

from collections.abc import Sequence

from easydict import EasyDict

from csd.config import load_config
from csd.settings import TRAIN


def output_dir(config: EasyDict) -> str:
    """The output folder; by default, for example, `output/csd_edsr_x4`."""
    name = f"{config.train.method}_{config.model.name}_x{config.model.scale}"
    return config.runtime.output_dir or f"output/{name}"


def main(argv: Sequence[str]) -> int:
    """Run the program; see `--help`."""
    config = load_config(TRAIN, argv, __doc__)
    config.runtime.output_dir = output_dir(config)

    from csd import runtime
    from csd.pipes import readers_may_leave

    runtime.prepare_environment()  # before anything imports MindSpore
    from csd.training import train

    with readers_may_leave():
        train(config)
    return 0
