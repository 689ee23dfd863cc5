"""A run that is interrupted and resumed is the run that was not, bit-exact."""

import numpy as np
import pytest

from csd.checkpoints import load_checkpoint
from csd.errors import InputError, WorkError
from csd.training.interrupt import Interrupted
from csd.training.log import read_rows


def _losses(folder):
    """The four losses of every step as they stand in metrics.csv, with all their digits."""
    return [
        [row[name] for name in ("step", "lr", "total", "student", "teacher", "contrast")]
        for row in read_rows(folder / "metrics.csv")
        if row["total"]
    ]


def _assert_same_end(first, second):
    a, b = load_checkpoint(first / "last.ckpt"), load_checkpoint(second / "last.ckpt")
    assert a.meta["progress"] == b.meta["progress"]
    for one, other in ((a.params, b.params), (a.train_state, b.train_state)):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["edsr", "rcan", "carn"])
def test_six_and_six_steps_are_twelve(backbone, settings, run, tmp_path, capfd):
    validate = int(backbone == "edsr")  # between the steps, which it must not touch
    argv = settings(f"--train.validate_every={validate}", method="csd", backbone=backbone)
    whole = run([*argv, f"--output_dir={tmp_path / 'whole'}"])
    with pytest.raises(Interrupted, match="stopped at step 6 of 12; the state is saved") as caught:
        run(argv, stop_at=6)
    assert caught.value.exit_code == 143
    halves = run([*argv, "--resume"])
    assert "resuming at step 6" in capfd.readouterr().out
    losses = _losses(whole)
    assert [row[0] for row in losses] == [str(n) for n in range(1, 13)]
    assert len({row[2] for row in losses}) == 12 and all(float(row[5]) > 0 for row in losses)
    assert _losses(halves) == losses
    _assert_same_end(whole, halves)


@pytest.mark.slow
def test_a_sparse_contrastive_loss_resumes_in_step(settings, run, tmp_path):
    """On a random square, in every third step: stopped between two of them."""
    argv = settings("--data.lr_patch=16", "--loss.crop=16", "--loss.every=3", method="csd")
    whole = run([*argv, f"--output_dir={tmp_path / 'whole'}"])
    with pytest.raises(Interrupted):
        run(argv, stop_at=5)
    halves = run([*argv, "--resume"])
    losses = _losses(whole)
    assert [float(row[5]) > 0 for row in losses] == [step % 3 == 0 for step in range(12)]
    assert _losses(halves) == losses
    _assert_same_end(whole, halves)


@pytest.mark.slow
def test_steps_of_several_datasets_are_those_of_one(settings, run, tmp_path, monkeypatch):
    """As a run of more steps than one dataset has: here of five, five and two."""
    argv = settings("--data.lr_patch=16", "--loss.crop=16", method="csd")
    whole = run([*argv, f"--output_dir={tmp_path / 'whole'}"])
    monkeypatch.setattr("csd.training.run.AT_ONCE", 5)
    parts = run(argv)
    assert len(_losses(whole)) == 12 and _losses(parts) == _losses(whole)
    _assert_same_end(whole, parts)


@pytest.mark.slow
def test_what_a_resumed_run_says_and_refuses(settings, run, tmp_path, capfd, caplog):
    """One run: resumed where there is nothing, changed, damaged, diverging, finished."""
    argv = settings("--train.save_every=2")
    with pytest.raises(Interrupted):
        run([*argv, "--resume"], stop_at=5)
    assert "no checkpoint in" in capfd.readouterr().out
    checkpoints = tmp_path / "run" / "checkpoints"

    with pytest.raises(InputError, match=r"changed since .*model.n_feats: 8 -> 4.*--allow_changed"):
        run([*argv, "--resume", "--model.n_feats=4"])

    # Diverging: the first update is finite and ruins the weights, all the others are skipped.
    steep = ["--resume", "--allow_changed", "--optim.name=sgd", "--optim.lr=1e30",
             "--train.epochs=4", "--optim.schedule=constant", "--train.save_every=1",
             "--train.log_every=100"]  # fmt: skip
    with pytest.raises(WorkError, match=r"10 steps in a row, up to step 16, gave a loss or gradie"):
        run([*argv, *steep])
    capfd.readouterr()

    # Ruined weights are saved once at most, before a loss has shown them: the others are whole.
    newest = sorted(checkpoints.glob("*.ckpt"))[-1]
    assert newest.name == "step_0000000006.ckpt"
    assert (checkpoints / "step_0000000005.ckpt").exists()
    newest.unlink()
    newest.write_bytes(b"\x0a")

    finished = run([*argv, "--resume"])
    said = capfd.readouterr()
    assert f"skipping a damaged checkpoint: {newest}" in caplog.text
    assert "resuming at step 5" in said.out
    assert load_checkpoint(finished / "last.ckpt").meta["progress"]["step"] == 12
    before = (finished / "metrics.csv").read_text()
    assert [row[0] for row in _losses(finished)] == [str(n) for n in range(1, 13)]

    run([*argv, "--resume"])
    assert f"nothing to do: {finished} holds all 12 steps" in capfd.readouterr().out
    assert (finished / "metrics.csv").read_text() == before
    with pytest.raises(InputError, match=r"holds a run of 12 steps; continue with --resume"):
        run(argv)


def test_a_validation_that_fails_does_not_cost_the_steps_before_it(
    settings, run, monkeypatch, tmp_path
):
    from csd.training.folder import checkpoints
    from csd.training.validation import Validation

    def fail(self):
        raise RuntimeError("no memory")

    monkeypatch.setattr(Validation, "run", fail)
    with pytest.raises(RuntimeError, match="no memory"):
        run(settings("--train.validate_every=1", "--train.save_every=0"))
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step_0000000006.ckpt"]
