"""Our checkpoints: written and read, named when damaged, whole when killed."""

import hashlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from csd.checkpoints import checkpoint as module
from csd.checkpoints import load_checkpoint, save_checkpoint
from csd.checkpoints.checkpoint import read_ms_file, sidecar_of
from csd.errors import InputError, WorkError

META = {"model": {"name": "edsr", "scale": 4}, "widths": [1.0, 0.25]}


def content(seed=0):
    rng = np.random.default_rng(seed)
    params = {"a.weight": rng.normal(size=(3, 4)).astype(np.float32), "b": np.float16(3)}
    train = {"step": np.int64(5 + seed), "ok": np.bool_(True), "m.a": np.ones((2, 2), np.int32)}
    return params, train


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "net.ckpt"
    params, train = content()
    save_checkpoint(path, params, META, train)
    return path


def test_round_trip_keeps_values_dtypes_shapes_and_meta(saved):
    params, train = content()
    loaded = load_checkpoint(saved)
    assert list(loaded.params) == list(params)
    for wanted, found in ((params, loaded.params), (train, loaded.train_state)):
        assert wanted.keys() == found.keys()
        for name, value in wanted.items():
            assert found[name].dtype == np.asarray(value).dtype
            np.testing.assert_array_equal(found[name], value, strict=False)
            assert found[name].shape == np.asarray(value).shape
    assert loaded.meta == {**META, "format": "csd", "version": 1}


def test_meta_takes_numpy_values_and_unicode(tmp_path):
    save_checkpoint(
        tmp_path / "x.ckpt", {}, {"best": np.float32(1.5), "note": "größer 超", "t": (1,)}
    )
    meta = load_checkpoint(tmp_path / "x.ckpt").meta
    assert (meta["best"], meta["note"], meta["t"]) == (1.5, "größer 超", [1])


def test_is_mindspores_own_format(saved):
    import mindspore as ms

    loaded = ms.load_checkpoint(str(saved))
    np.testing.assert_array_equal(loaded["a.weight"].asnumpy(), content()[0]["a.weight"])
    assert json.loads(loaded["csd.meta"])["model"]["name"] == "edsr"


def test_foreign_checkpoint_with_crc_is_read_but_not_as_ours(tmp_path):
    import mindspore as ms

    path = tmp_path / "other.ckpt"
    tensor = ms.Tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    ms.save_checkpoint([{"name": "x", "data": tensor}], str(path), crc_check=True)
    np.testing.assert_array_equal(read_ms_file(path)["x"], tensor.asnumpy())
    with pytest.raises(InputError, match=r"not one of this program.*convert"):
        load_checkpoint(path)


def test_sha256_beside_it(saved):
    digest, name = sidecar_of(saved).read_text().split()
    assert name == "net.ckpt"
    assert digest == hashlib.sha256(saved.read_bytes()).hexdigest()


def test_every_truncation_is_refused_and_names_file_and_tensor(saved):
    whole = saved.read_bytes()
    messages = set()
    for length in range(0, len(whole), 7):
        saved.write_bytes(whole[:length])
        with pytest.raises(InputError) as caught:
            load_checkpoint(saved)
        assert str(saved) in str(caught.value)
        messages.add(str(caught.value).removeprefix(str(saved)))
    assert any("truncated: tensor 'a.weight' needs" in message for message in messages)


def test_every_damaged_byte_of_a_tensor_is_refused_and_the_tensor_named(saved):
    whole = saved.read_bytes()
    value = content()[0]["a.weight"].tobytes()
    start = whole.index(value)
    for position in range(start, start + len(value), 5):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        saved.write_bytes(bytes(damaged))
        with pytest.raises(InputError, match=r"net\.ckpt is damaged: tensor 'a\.weight'"):
            load_checkpoint(saved)


def test_damage_anywhere_is_a_sentence_or_harmless(saved):
    whole = saved.read_bytes()
    params = load_checkpoint(saved).params
    for position in range(0, len(whole), 11):
        damaged = bytearray(whole)
        damaged[position] ^= 0x41
        saved.write_bytes(bytes(damaged))
        try:
            found = load_checkpoint(saved).params
        except InputError:
            continue
        assert all(np.array_equal(found[name], params[name]) for name in params)


def test_an_added_or_missing_tensor_is_named(saved):
    from csd.checkpoints.ms_files import write_entry

    whole = saved.read_bytes()
    with saved.open("ab") as file:
        write_entry(file, "extra", np.zeros(2, np.float32))
    with pytest.raises(InputError, match="'extra'"):
        load_checkpoint(saved)
    start = whole.index(b"\n\x01b\x12") - 2  # the entry of the scalar `b`
    length = whole[start + 1] + 2
    saved.write_bytes(whole[:start] + whole[start + length :])
    with pytest.raises(InputError, match="'b' is expected and missing"):
        load_checkpoint(saved)


@pytest.mark.parametrize("data", [b"", b"hello world, no weights here", bytes(200), b"\n\x05abc"])
def test_something_else_is_named(tmp_path, data):
    path = tmp_path / "x.ckpt"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.ckpt"):
        load_checkpoint(path)


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(InputError, match=r"none\.ckpt does not exist"):
        load_checkpoint(tmp_path / "none.ckpt")
    with pytest.raises(InputError, match="is a folder"):
        load_checkpoint(tmp_path)


def test_newer_version_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "VERSION", 2)
    save_checkpoint(tmp_path / "x.ckpt", {}, {})
    monkeypatch.undo()
    with pytest.raises(InputError, match="version 2, expected 'csd' version 1"):
        load_checkpoint(tmp_path / "x.ckpt")


def test_a_dtype_without_a_name_is_refused_and_the_old_file_kept(saved):
    before = saved.read_bytes()
    with pytest.raises(TypeError, match="'z' is complex128"):
        save_checkpoint(saved, {"z": np.ones(2, complex)}, META)
    assert saved.read_bytes() == before
    assert sorted(p.name for p in saved.parent.iterdir()) == ["net.ckpt", "net.ckpt.sha256"]


FULL_DISK = """
import resource, sys, numpy as np
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
from csd.errors import run_main
from csd.checkpoints import save_checkpoint
big = {"a": np.zeros(100000, np.float32)}
sys.exit(run_main(lambda argv: save_checkpoint(argv[0], big, {}), sys.argv[1:]))
"""


def test_a_disk_that_fills_up_is_one_sentence_and_the_old_file_stays(saved):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", FULL_DISK, str(saved)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: cannot write {saved}: ")
    assert "Traceback" not in done.stderr
    assert load_checkpoint(saved).train_state["step"] == 5
    assert sorted(p.name for p in saved.parent.iterdir()) == ["net.ckpt", "net.ckpt.sha256"]


def killed_at(step, path, seed):
    """Save in a child process that dies, as if killed, before its `step`-th change on disk."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    count = [0]

    def dying(original):
        def call(*args, **kwargs):
            if count[0] == step:
                os._exit(9)
            count[0] += 1
            return original(*args, **kwargs)

        return call

    try:
        for name in ("open", "unlink", "replace"):
            setattr(Path, name, dying(getattr(Path, name)))
        os.fsync = dying(os.fsync)
        params, train = content(seed)
        save_checkpoint(path, params, META, train)
        os._exit(0)
    finally:
        os._exit(1)


def test_killed_at_any_step_leaves_the_old_or_the_new_file_whole(saved):
    codes, steps = [], []
    for step in range(30):
        code = killed_at(step, saved, seed=step + 1)
        codes.append(code)
        steps.append(int(load_checkpoint(saved).train_state["step"]))
        sidecar = sidecar_of(saved)
        if sidecar.exists():  # it may be away for a moment, it never contradicts the file
            digest = hashlib.sha256(saved.read_bytes()).hexdigest()
            assert sidecar.read_text().split()[0] == digest
        if code == 0:
            break
    assert codes[-1] == 0 and set(codes[:-1]) == {9} and len(codes) > 6
    assert steps[0] == 5 and steps[-1] == 5 + len(codes)
    assert steps[-2] > 5  # killed after the rename: the new one
    assert sorted(p.name for p in saved.parent.iterdir()) == ["net.ckpt", "net.ckpt.sha256"]


def test_unwritable_folder_is_a_work_error(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(WorkError, match="cannot write"):
        save_checkpoint(blocker / "x.ckpt", {}, {})
