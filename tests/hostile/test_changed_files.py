"""Files that the program wrote and somebody changed; weights of others without usable values."""

import json
import math
import os
import struct

import numpy as np
import pytest

from csd.checkpoints import load_checkpoint, save_checkpoint
from csd.checkpoints.checkpoint import read_ms_file
from csd.checkpoints.files import read_tensors, write_safetensors
from csd.checkpoints.meta import check_size
from csd.checkpoints.ms_files import write_entry
from csd.errors import InputError
from csd.evaluation.tables import read_metrics, write_metrics
from csd.reporting.report import read_curves

META = {
    "model": {"name": "edsr", "scale": 2, "n_feats": 8, "n_resblocks": 1, "res_scale": 1.0},
    "widths": [0.25, 1.0],
    "config": {"model": {"name": "edsr"}},
    "progress": {"step": 5, "samples": 20, "best_psnr": math.inf},
}


def test_what_is_written_is_read(tmp_path):
    save_checkpoint(tmp_path / "a.ckpt", {"w": np.zeros(3, np.float32)}, META)
    meta = load_checkpoint(tmp_path / "a.ckpt").meta
    assert {key: meta[key] for key in META} == META


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"model": None, "widths": 3}, "'widths'"),
        ({"model": []}, "'model'"),
        ({"model": {"scale": 2}}, r"'model\.name' is missing"),
        ({"model": {"name": "edsr", "scale": -1}}, r"'model\.scale'"),
        ({"model": {"name": "edsr", "scale": 2, "n_feats": [8]}}, r"'model\.n_feats'"),
        ({"model": {"name": "edsr", "scale": 2, "res_scale": math.nan}}, r"'model\.res_scale'"),
        ({"widths": "all"}, "'widths'"),
        ({"widths": []}, "'widths'"),
        ({"widths": [0]}, "'widths'"),
        ({"widths": [math.nan]}, r"'widths\[0\]'"),
        ({"widths": [2.0]}, r"'widths\[0\]'"),
        ({"progress": 7}, "'progress'"),
        ({"progress": {"step": -1, "samples": 0}}, r"'progress\.step'"),
        ({"progress": {"step": 1.5, "samples": 0}}, r"'progress\.step'"),
        ({"progress": {"step": 1, "samples": 1, "best_psnr": "x"}}, "best_psnr"),
        ({"config": "model"}, "'config'"),
        ({"config": {"model": 3}}, r"'config\.model'"),
        ({"vgg": {"mean": [1], "std": None}}, r"'vgg\.mean'"),
    ],
)
def test_changed_metadata_is_named(tmp_path, change, place):
    weights, meta = {"w": np.zeros(3, np.float32)}, {**META, **change}
    save_checkpoint(tmp_path / "a.ckpt", weights, meta)
    with pytest.raises(InputError, match=f"a.ckpt is damaged: its 'csd.meta'.*{place}"):
        load_checkpoint(tmp_path / "a.ckpt")
    write_safetensors(
        tmp_path / "a.safetensors", {"w": np.zeros(3, np.float32)}, {**META, **change}
    )
    with pytest.raises(InputError, match=f"a.safetensors is damaged: its 'csd_meta'.*{place}"):
        read_tensors(tmp_path / "a.safetensors")


def entries(path, *items):
    with path.open("wb") as file:
        for name, value in items:
            write_entry(file, name, value)


@pytest.mark.parametrize("meta", ["", "[1]", "null", "{" * 5000, '{"a":' * 5000, "9" * 9999])
def test_metadata_of_another_shape(tmp_path, meta):
    path = tmp_path / "a.ckpt"
    entries(path, ("csd.meta", meta or " "), ("csd.digest", "{}"))
    with pytest.raises(InputError, match="damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize("digest", [np.zeros(3), "[]", '{"a": 3}', "{" * 5000])
def test_digests_of_another_shape(tmp_path, digest):
    path = tmp_path / "a.ckpt"
    entries(path, ("csd.meta", "{}"), ("csd.digest", digest))
    with pytest.raises(InputError, match=r"its 'csd\.digest'"):
        load_checkpoint(path)


def test_a_record_of_four_terabytes(tmp_path):
    path = tmp_path / "a.ckpt"
    entries(path, ("w", np.zeros(3, np.float32)))
    content = path.read_bytes()
    length = bytes([0x80 | (2**42 - 1) >> 7 * i & 0x7F for i in range(5)] + [0x7F])
    path.write_bytes(content + b"\x0a" + length + b"\x0a\x01x")
    with pytest.raises(InputError, match=r"is truncated: .*bytes, found 3 bytes"):
        read_ms_file(path)


def test_a_shape_whose_size_overflows(tmp_path):
    path = tmp_path / "a.ckpt"
    entries(path, ("w", np.zeros((1, 0), np.float32)))
    wide = path.read_bytes().replace(b"\x08\x01\x08\x00", b"\x08\x80\x80\x80\x80\x10" * 2)
    body = wide[2:]
    tensor = body[3:]
    tensor = tensor[:1] + bytes([len(tensor) - 2]) + tensor[2:]
    path.write_bytes(b"\x0a" + bytes([len(body[:3] + tensor)]) + body[:3] + tensor)
    with pytest.raises(InputError, match=r"a\.ckpt is damaged"):
        read_ms_file(path)


@pytest.mark.parametrize(
    "model",
    [
        {"name": "edsr", "n_feats": 10**6, "n_resblocks": 1},
        {"name": "edsr", "n_feats": 8, "n_resblocks": 10**4},
        {"name": "rcan", "n_feats": 8, "n_resblocks": 100, "n_resgroups": 100},
        {"name": "carn", "n_feats": 10**9},
        {"name": "edsr", "n_feats": -8, "n_resblocks": 1},
        {"name": "edsr", "n_feats": 8.5, "n_resblocks": 1},
        {"name": "edsr", "n_feats": True, "n_resblocks": 1},
    ],
)
def test_a_network_larger_than_its_file_is_not_built(model):
    tensors = {"head.weight": np.zeros((8, 3, 3, 3)), "body.0.conv1.weight": np.zeros((8, 8, 9))}
    with pytest.raises(InputError, match=r"a\.ckpt describes a network of"):
        check_size(model, tensors, "a.ckpt")


def test_networks_that_fit_their_tensors_pass():
    sizes = {"a": np.zeros((8, 8, 9)), "b": np.zeros((8, 8, 9))}
    check_size({"name": "edsr", "n_feats": 8, "n_resblocks": 1, "res_scale": 0.1}, sizes, "a")


@pytest.mark.parametrize("name", ["edsr_x2", "edsr_x4"])
def test_the_shipped_networks_pass(name):
    from csd.inference.opening import shipped_checkpoint

    file = read_tensors(shipped_checkpoint(int(name[-1])))
    check_size(file.meta["model"], file.tensors, name)


def torch_file(path, content):
    torch = pytest.importorskip("torch")
    torch.save(content(torch), path)
    return path


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda t: {"w": t.eye(3).to_sparse()}, "'w' is sparse"),
        (lambda t: {"w": t.quantize_per_tensor(t.eye(3), 0.1, 0, t.quint8)}, "'w' is quantised"),
        (lambda t: {"w": t.eye(3).to(t.float8_e4m3fn)}, "'w' is of type torch.float8"),
        (lambda t: {"w": t.empty(3, device="meta")}, "'w' is empty"),
        (lambda t: {"w": t.eye(3, dtype=t.complex64)}, "'w' is of type torch.complex64"),
        (lambda t: {"w": t.zeros(1).expand(10**12)}, "repeats few values"),
        (lambda t: [t.eye(3)], "without a state_dict"),
        (lambda t: t.eye(3), "without a state_dict"),
        (lambda t: {"state_dict": None, "model": {}}, "without a state_dict"),
        (lambda t: {"w": t.eye(3), "csd_meta": 7}, "'csd_meta' is not text"),
        (lambda t: {"w": t.eye(3), "csd_meta": "[]"}, "'csd_meta'"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_weights_of_pytorch_without_usable_values(tmp_path, content, words):
    path = torch_file(tmp_path / "a.pth", content)
    with pytest.raises(InputError, match=words):
        read_tensors(path)


def test_integer_keys_and_recursion_in_pytorch_files(tmp_path):
    path = torch_file(tmp_path / "a.pth", lambda t: {0: t.eye(2), 1: t.eye(3)})
    assert {k: v.shape for k, v in read_tensors(path).tensors.items()} == {"0": (2, 2), "1": (3, 3)}

    def endless(torch):
        content = {"w": torch.eye(2)}
        content["model"] = content
        return content

    path = torch_file(tmp_path / "b.pth", endless)
    np.testing.assert_array_equal(read_tensors(path).tensors["w"], np.eye(2, dtype=np.float32))


def test_hdf5_without_values(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("huge", (10**6, 10**6), "f4")
    with pytest.raises(InputError, match=r"'huge' of shape \(1000000, 1000000\) has 0 bytes"):
        read_tensors(path)
    with h5py.File(path, "w") as file:
        file["null"] = h5py.Empty("f4")
        file["good"] = np.arange(3.0)
    assert list(read_tensors(path).tensors) == ["good"]
    with h5py.File(path, "w"):
        pass
    assert read_tensors(path).tensors == {}


SCORES = {"psnr_y": 30.0, "ssim_y": 0.9, "psnr_rgb": 28.0}
RUN = {
    "width": 0.25,
    "self_ensemble": False,
    "label": "width_0.25",
    "parameters": 1000,
    "multiply_adds": 5e9,
    "sets": {"Set5": {**SCORES, "ms_per_image": 3.0, "images": {"a": {**SCORES, "ms": 3.0}}}},
}
METRICS = {"model": "edsr", "hyper": {"n_feats": 8}, "scale": 4, "ckpt": "a.ckpt", "runs": [RUN]}


def test_names_of_images_that_are_no_text(tmp_path):
    name = os.fsdecode(b"a\xff")
    images = {name: {**SCORES, "psnr_y": math.inf, "ms": 3.0}}
    run = {**RUN, "sets": {"Set5": {**SCORES, "images": images}}}
    write_metrics(tmp_path, {**METRICS, "runs": [run]})
    found = read_metrics(tmp_path / "metrics.json")["runs"][0]["sets"]["Set5"]["images"]
    assert found == images
    assert "a\\udcff" in (tmp_path / "per_image.csv").read_text()


def change(content, place, value):
    """A copy of the content with one value changed; `...`: left out."""
    copy = json.loads(json.dumps(content))
    *path, last = place
    inner = copy
    for step in path:
        inner = inner[step]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return copy


SET = ("runs", 0, "sets", "Set5")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("runs",), []), (("runs",), {}), (("runs",), ...), (("runs", 0), None),
        (("runs", 0, "width"), "wide"), (("runs", 0, "width"), ...), (("runs", 0, "width"), -1),
        (("runs", 0, "self_ensemble"), "no"), (("runs", 0, "label"), 5),
        (("runs", 0, "label"), ...),
        (("runs", 0, "sets"), []), (("runs", 0, "sets"), {"Set5": 3}),
        (("runs", 0, "parameters"), "many"), (("runs", 0, "parameters"), -5),
        (("runs", 0, "multiply_adds"), [1]),
        ((*SET, "psnr_y"), ...), ((*SET, "psnr_y"), "high"), ((*SET, "psnr_y"), None),
        ((*SET, "ssim_y"), {}), ((*SET, "images"), ...), ((*SET, "images"), []),
        ((*SET, "images", "a"), 30), ((*SET, "images", "a", "psnr_y"), True),
        ((*SET, "images", "a", "ms"), "fast"), ((*SET, "ms_per_image"), "fast"),
        (("scale",), "four"), (("scale",), -1), (("scale",), ...), (("model",), None),
        (("model",), 4), (("model",), ...), (("hyper",), "small"), (("ckpt",), 4),
    ],
)  # fmt: skip
def test_changed_metrics_are_named(tmp_path, place, value):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps(METRICS))
    assert read_metrics(path) == METRICS
    path.write_text(json.dumps(change(METRICS, place, value)))
    with pytest.raises(InputError, match=r"is not a metrics\.json of eval\.py: .*run eval"):
        read_metrics(path)


def test_runs_of_different_sets(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({**METRICS, "runs": [RUN, {**RUN, "sets": {}}]}))
    with pytest.raises(InputError, match="must have the sets of the first run"):
        read_metrics(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"a,b\n1,2\n", b"step,lr\n1,x\n", b"step\n\xff\n", b"\0\0", b"step,lr\n,1\n"],
)
def test_changed_curves_are_named(tmp_path, content):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"metrics\.csv"):
        read_curves(path)


def test_curves_without_numbers_for_a_chart(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,lr,total\n1,nan,2\n2,inf,\n3,1e-4,3,4\n")
    rows = read_curves(path)
    assert [row["lr"] for row in rows] == [None, None, 1e-4]


def damage_truncate(path):
    path.write_bytes(path.read_bytes()[:-20])


def damage_empty(path):
    path.write_bytes(b"")


def damage_pipe(path):
    path.unlink()
    os.mkfifo(path)


def damage_folder(path):
    path.unlink()
    path.mkdir()


def damage_loop(path):
    path.unlink()
    path.symlink_to(path.name)


def damage_length(path):
    content = bytearray(path.read_bytes())
    content[1:3] = struct.pack("<H", 0xFFFF)
    path.write_bytes(content)


def damage_weights_alone(path):
    save_checkpoint(path, {"w": np.ones(3, np.float32)}, {k: META[k] for k in ("model", "widths")})


def damage_progress(path):
    save_checkpoint(path, {"w": np.ones(3, np.float32)}, {**META, "progress": {"step": "x"}})


@pytest.mark.parametrize(
    "damage",
    [
        damage_truncate, damage_empty, damage_pipe, damage_folder, damage_loop, damage_length,
        damage_weights_alone, damage_progress,
    ],
)  # fmt: skip
def test_resume_takes_the_next_older_checkpoint(tmp_path, damage):
    from csd.training.folder import newest_good

    folder = tmp_path / "checkpoints"
    for step in (1, 2):
        meta = {**META, "progress": {"step": step, "samples": step, "best_psnr": None}}
        save_checkpoint(folder / f"step_{step:010d}.ckpt", {"w": np.ones(3, np.float32)}, meta)
    damage(folder / "step_0000000002.ckpt")
    assert newest_good(tmp_path).meta["progress"]["step"] == 1


def test_a_file_of_an_old_pickle_protocol_is_refused_in_one_sentence(tmp_path, recwarn):
    torch = pytest.importorskip("torch")
    torch.save({"w": torch.ones(3)}, tmp_path / "a.pth", pickle_protocol=0)
    with pytest.raises(InputError, match="save the network's state_dict"):
        read_tensors(tmp_path / "a.pth")
    assert not recwarn.list
