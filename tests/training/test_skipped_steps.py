"""Steps without an update: which of them end a run, and what is saved meanwhile."""

import numpy as np
import pytest

from csd.errors import WorkError

UPDATED, SKIPPED, FALLING = 1.0, 0.0, -1.0


@pytest.fixture
def run_flags(settings, run, monkeypatch):
    """Function: a run whose steps end with these flags, and train nothing."""
    from mindspore import Tensor

    from csd.training import trainer

    def start(flags):
        def outputs(_run):
            for flag in flags:
                yield Tensor(np.array([4.0, 0.0, 4.0, 0.0, flag], np.float32))

        monkeypatch.setattr(trainer, "step_outputs", outputs)
        options = ["--train.epochs=1", f"--train.steps_per_epoch={len(flags)}"]
        return run(settings(*options))

    return start


def _steps_saved(folder):
    files = (folder / "checkpoints").glob("step_*.ckpt")
    return sorted(int(path.stem.split("_")[-1]) for path in files)


def test_skips_while_the_loss_scale_falls_do_not_count(run_flags, capsys):
    """Sixteen halvings, as from 2^16 to 1, and nine skips at the smallest: the run continues."""
    run_flags([UPDATED] + [FALLING] * 16 + [SKIPPED] * 9 + [UPDATED] + [SKIPPED] * 9 + [UPDATED])
    said = capsys.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if "not finite" in line]
    falling = [line for line in lines if line.endswith("; a smaller loss scale is tried next")]
    assert len(lines) == 34 and len(falling) == 16
    assert falling[0].startswith("step 2: loss or gradient is not finite, update skipped")


def test_a_falling_loss_scale_does_not_forgive_the_skips_before(run_flags):
    flags = [UPDATED] + [SKIPPED] * 5 + [FALLING] + [SKIPPED] * 5 + [UPDATED]
    with pytest.raises(WorkError, match="10 steps in a row, up to step 12, gave"):
        run_flags(flags)


def test_no_checkpoint_of_a_skipped_step(run_flags, tmp_path):
    run_flags([UPDATED, UPDATED, FALLING, SKIPPED, FALLING, UPDATED])
    assert _steps_saved(tmp_path / "run") == [1, 2, 6]
