"""Blocks that are computed twice instead of kept: the same weights."""

import numpy as np
import pytest

from csd.checkpoints import load_checkpoint


def _weights(run, settings, tmp_path, *extra, **kind):
    folder = run(settings(f"--output_dir={tmp_path}", *extra, **kind))
    return load_checkpoint(folder / "last.ckpt").params


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["edsr", "rcan", "carn"])
def test_same_weights(settings, run, tmp_path, backbone):
    options = ["--train.epochs=1", "--train.steps_per_epoch=3"]
    kind = {"method": "csd", "backbone": backbone}
    plain = _weights(run, settings, tmp_path / "plain", *options, **kind)
    again = _weights(
        run, settings, tmp_path / "again", "--runtime.recompute=true", *options, **kind
    )
    assert plain.keys() == again.keys()
    for name, value in plain.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)


@pytest.mark.slow
def test_first_halves_of_blocks_are_computed_again(settings, run, tmp_path):
    """A block's gradient needs what is behind its first convolution and its ReLU."""
    counts = []
    for recompute in ("false", "true"):
        folder = run(
            settings(
                f"--runtime.recompute={recompute}", f"--output_dir={tmp_path / recompute}",
                "--runtime.profile_steps=2", "--model.n_resblocks=3",
            )
        )  # fmt: skip
        (table,) = (folder / "profile").rglob("cpu_op_type_info_0.csv")
        rows = [line.split(",") for line in table.read_text().splitlines()]
        counts.append({row[0]: int(row[2]) for row in rows[1:]})  # of one step
    plain, again = counts
    more = {name: again[name] - plain[name] for name in plain if again[name] != plain[name]}
    assert more == {"Conv2D": 3, "ReLU": 3, "BiasAdd": 3}


@pytest.mark.parametrize(
    ("name", "hyper", "kind", "count"),
    [
        ("edsr", {"n_resblocks": 3}, "ResidualBlock", 3),
        ("rcan", {"n_resgroups": 2, "n_resblocks": 3, "reduction": 2}, "RCAB", 6),
        ("carn", {}, "ResidualUnit", 9),
    ],
)
def test_blocks(mindspore_cpu, name, hyper, kind, count):
    from csd.nets import create_model

    net = create_model(name, scale=2, n_feats=8, **hyper)
    inside = [cell for _, cell in net.cells_and_names() if type(cell).__name__ == kind]
    assert len(inside) == count and net.blocks() == inside
