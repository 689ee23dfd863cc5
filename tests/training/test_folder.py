"""The run folder: what is kept, what is refused, what a damaged or full disk leaves behind."""

import os
import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest

from csd.config import defaults, save_yaml
from csd.errors import InputError, WorkError


@pytest.fixture
def config(tmp_path):
    config = defaults()
    config.model.update(scale=2, n_feats=8, n_resblocks=1)
    config.train.update(method="teacher", teacher="none", keep=2)
    config.runtime.update(output_dir=str(tmp_path / "run"), device_target="CPU")
    return config


@pytest.fixture
def saved(config, mindspore_cpu):
    """Function: save checkpoints of these steps; returns the folder, the network and its state."""
    from csd.runtime import Runtime
    from csd.training.build import create_network, create_step, step_state
    from csd.training.folder import Progress, prepare_folder, save_run

    prepare_folder(config)
    folder = Path(config.runtime.output_dir)
    net = create_network(config)
    state = step_state(create_step(config, net, Runtime("CPU")))

    def save(*steps):
        for step in steps:
            save_run(folder, config, net, [1.0], state, Progress(step, 16 * step, 30.5))
        return folder, net, state

    return save


def _names(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_only_the_newest_are_kept(saved):
    folder, _, _ = saved(1, 2, 3)
    expected = [f"step_000000000{n}.ckpt{end}" for n in (2, 3) for end in ("", ".sha256")]
    assert _names(folder) == expected
    newest = folder / "checkpoints" / "step_0000000003.ckpt"
    assert (folder / "last.ckpt").samefile(newest)
    digest = newest.with_name(f"{newest.name}.sha256")
    check = subprocess.run(["sha256sum", "-c", digest.name], cwd=digest.parent, timeout=20)
    assert check.returncode == 0


def test_another_run_is_not_written_over(saved, config):
    from csd.training.folder import prepare_folder

    saved(7)
    with pytest.raises(InputError, match=r"run holds a run of 7 steps; continue with --resume"):
        prepare_folder(config)
    config.train.resume = True
    prepare_folder(config)


def test_a_checkpoint_with_old_names_of_keys_is_resumed(saved, config):
    from csd.config import plain
    from csd.training.folder import load_progress, newest_good

    folder, net, state = saved(7)
    checkpoint = newest_good(folder)
    old = plain(config)
    old["train"]["config_file"] = old["train"].pop("method")
    old["train"]["iterations"] = old["train"].pop("steps_per_epoch")
    checkpoint.meta["config"] = old
    assert load_progress(checkpoint, config, net, state).step == 7
    old["train"]["iterations"] += 1
    with pytest.raises(InputError, match=r"train.steps_per_epoch: 1001 -> 1000"):
        load_progress(checkpoint, config, net, state)


def test_two_runs_do_not_write_to_one_folder(config):
    from csd.training.folder import prepare_folder

    with (
        prepare_folder(config),
        pytest.raises(InputError, match=r"another run is writing to .*run, or still ending"),
    ):
        prepare_folder(config)
    prepare_folder(config)


def test_leftovers_of_a_killed_run_go(saved, config):
    from csd.training.folder import prepare_folder

    folder, _, _ = saved(1)
    (folder / "checkpoints" / ".step_0000000002.ckpt.tmp").write_bytes(b"half")
    config.train.resume = True
    prepare_folder(config)
    assert not list(folder.rglob(".*.tmp"))


def test_files_of_the_user_stay(saved, config):
    """What a run writes has names of its own; nothing else is rotated, removed or set aside."""
    from csd.training.folder import checkpoints, newest_good, prepare_folder

    folder, _, _ = saved(20)
    theirs = [
        folder / name
        for name in ("checkpoints/step_best.ckpt", "checkpoints/step_0000000030_backup.ckpt",
                     "checkpoints/step_30.ckpt", "checkpoints/step_00000000010.ckpt",
                     "checkpoints/step_٠٠٠٠٠٠٠٠٣٠.ckpt", "checkpoints/.notes.tmp",
                     "checkpoints/step_0000000010.ckpt.bak", ".mine.tmp", ".best.ckpt.old.tmp")
    ]  # fmt: skip
    for file in theirs:
        file.write_bytes(b"mine")
    config.train.resume = True
    prepare_folder(config)
    saved(40, 50, 60)
    steps = [f"step_00000000{n}.ckpt" for n in (50, 60)]
    assert [file.name for file in checkpoints(folder)] == steps
    assert newest_good(folder).meta["progress"]["step"] == 60
    assert {file: file.read_bytes() for file in theirs} == dict.fromkeys(theirs, b"mine")


def test_links_in_the_folder_lead_nowhere(saved, config, tmp_path):
    """A name of ours that is a link: the file behind it is neither truncated nor written."""
    from csd.training.folder import prepare_folder, save_best
    from csd.training.log import RunLog

    folder, net, _ = saved(1)
    config.train.resume = True
    precious = tmp_path / "precious"
    precious.write_text("mine")
    names = [".writable.tmp", ".config.yaml.tmp", "config.yaml", ".best.ckpt.tmp", "best.ckpt",
             ".best.ckpt.sha256.tmp", ".last.ckpt.tmp", ".metrics.csv.tmp",
             "checkpoints/.step_0000000002.ckpt.tmp"]  # fmt: skip
    for name in names:
        (folder / name).symlink_to(precious)
    prepare_folder(config).close()
    for name in names:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(precious)
    saved(2)
    save_yaml(config, folder / "config.yaml")
    RunLog(folder, [1.0], 0).close()
    from csd.training.folder import Progress

    save_best(folder, config, net, [1.0], Progress(2, 32, 30.0))
    assert precious.read_text() == "mine"
    for name in ("config.yaml", "best.ckpt", "last.ckpt", "metrics.csv"):
        assert (folder / name).is_file() and not (folder / name).is_symlink()

    (folder / ".lock").unlink()
    (folder / ".lock").symlink_to(precious)
    with pytest.raises(InputError, match=r"cannot write .*: \.lock is a symbolic link"):
        prepare_folder(config)
    (folder / ".lock").unlink()
    os.mkfifo(folder / ".lock")
    with pytest.raises(InputError, match=r"cannot write .*: \.lock is not a regular file"):
        prepare_folder(config)
    assert precious.read_text() == "mine"


def test_unwritable_output_folder(config, tmp_path):
    from csd.training.folder import prepare_folder

    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "run", "/proc/run"):
        config.runtime.output_dir = str(place)
        with pytest.raises(InputError, match=r"cannot write to the output folder .*--output_dir"):
            prepare_folder(config)
    if os.getuid():  # root may write anywhere
        (tmp_path / "readonly").mkdir(mode=0o500)
        config.runtime.output_dir = str(tmp_path / "readonly" / "run")
        with pytest.raises(InputError, match="cannot write to the output folder"):
            prepare_folder(config)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_damaged_checkpoint_is_named_and_skipped(saved, damage, caplog):
    from csd.training.folder import newest_good

    folder, _, _ = saved(4, 5)
    file = folder / "checkpoints" / "step_0000000005.ckpt"
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    file.unlink()  # last.ckpt is another name of it
    file.write_bytes({"cut": data[: len(data) // 2], "flip": data, "empty": b""}[damage])
    assert newest_good(folder).meta["progress"]["step"] == 4
    (said,) = caplog.messages
    assert "skipping a damaged checkpoint" in said and file.name in said
    # Out of the way: with keep=1 it would otherwise push out the next good one.
    assert not file.exists() and file.with_name(f"{file.name}.damaged").exists()


def test_no_whole_checkpoint(saved):
    from csd.training.folder import newest_good

    folder, _, _ = saved(4)
    (folder / "checkpoints" / "step_0000000004.ckpt").write_bytes(b"")
    with pytest.raises(InputError, match=r"no checkpoint in .* is whole"):
        newest_good(folder)


def test_everything_comes_back(saved, config):
    import mindspore as ms

    from csd.training.folder import load_progress, newest_good

    rng = np.random.default_rng(0)
    _, net, state = saved()
    for parameter in (*net.get_parameters(), *state.values()):
        values = rng.uniform(0, 1, parameter.shape) * 100
        parameter.set_data(ms.Tensor(values.astype(parameter.asnumpy().dtype)))
    folder, _, _ = saved(9)
    parts = {**dict(net.parameters_and_names()), **state}
    expected = {name: p.asnumpy().copy() for name, p in parts.items()}
    for parameter in parts.values():
        parameter.set_data(ms.Tensor(np.zeros_like(parameter.asnumpy())))
    progress = load_progress(newest_good(folder), config, net, state)
    assert (progress.step, progress.samples, progress.best_psnr) == (9, 144, 30.5)
    for name, parameter in parts.items():
        np.testing.assert_array_equal(parameter.asnumpy(), expected[name], err_msg=name)


@pytest.mark.parametrize("kind", [np.float16, np.float64, np.int32])
@pytest.mark.parametrize("part", ["params", "train_state"])
def test_another_type_is_refused_not_converted(saved, config, kind, part):
    from csd.training.folder import load_progress, newest_good

    folder, net, state = saved(9)
    checkpoint = newest_good(folder)
    arrays = getattr(checkpoint, part)
    name = next(name for name, value in arrays.items() if value.dtype == np.float32 and value.ndim)
    arrays[name] = arrays[name].astype(kind)
    wanted = rf"tensor '{name}' should have shape .* float32, found .* {np.dtype(kind)}"
    with pytest.raises(InputError, match=wanted):
        load_progress(checkpoint, config, net, state)


def test_changed_configuration_is_named_and_refused(saved, config):
    from csd.training.folder import load_progress, newest_good

    folder, net, state = saved(9)
    checkpoint = newest_good(folder)
    config.train.save_every = 5  # changes nothing that is computed
    config.optim.lr = 0.5
    config.train.batch_size = 3
    with pytest.raises(InputError) as caught:
        load_progress(checkpoint, config, net, state)
    assert "optim.lr: 0.0001 -> 0.5" in str(caught.value)
    assert "train.batch_size: 16 -> 3" in str(caught.value)
    assert "save_every" not in str(caught.value) and "--allow_changed" in str(caught.value)
    config.train.allow_changed = True
    assert load_progress(checkpoint, config, net, state).step == 9


def test_checkpoint_of_another_network_is_refused_even_when_given(saved, config, mindspore_cpu):
    from csd.nets import create_model
    from csd.training.folder import load_progress, newest_good

    folder, _, state = saved(9)
    config.train.allow_changed = True
    other = create_model("edsr", scale=2, n_feats=4, n_resblocks=1)
    with pytest.raises(InputError, match=r"the checkpoint: tensor '.*' should have shape"):
        load_progress(newest_good(folder), config, other, state)


def test_full_disk_leaves_the_previous_checkpoint_whole(saved):
    """A limit on the size of files stands for the full disk: the write fails half-way."""
    from csd.training.folder import newest_good

    folder, _, _ = saved(1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(WorkError, match=r"cannot write .*step_0000000002.ckpt: File too large"):
            saved(2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert _names(folder) == ["step_0000000001.ckpt", "step_0000000001.ckpt.sha256"]
    assert newest_good(folder).meta["progress"]["step"] == 1
