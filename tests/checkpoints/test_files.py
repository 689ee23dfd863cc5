"""Files that hold something else, are damaged, or would run code: one sentence, nothing happens."""

import os
import pickle
import sys
import zipfile

import numpy as np
import pytest

from csd.checkpoints import load_network
from csd.checkpoints.files import read_tensors
from csd.errors import InputError

torch = pytest.importorskip("torch")


class Malicious:
    """An object whose unpickling creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_malicious_pickle_is_refused_and_creates_nothing(tmp_path, legacy):
    victim, path = tmp_path / "created", tmp_path / "x.pth"
    content = {"head.weight": torch.ones(2), "evil": Malicious(victim)}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(InputError, match=r"x\.pth holds Python objects.*refused"):
        read_tensors(path)
    assert not victim.exists()


def test_a_bare_malicious_pickle_is_refused_too(tmp_path):
    victim, path = tmp_path / "created", tmp_path / "x.pt"
    path.write_bytes(pickle.dumps(Malicious(victim), protocol=2))
    with pytest.raises(InputError, match=r"x\.pt"):
        read_tensors(path)
    assert not victim.exists()


def test_a_whole_pickled_module_is_refused_with_the_remedy(tmp_path):
    torch.save(torch.nn.Conv2d(3, 3, 3), tmp_path / "m.pt")
    with pytest.raises(InputError, match=r"state_dict\(\)"):
        read_tensors(tmp_path / "m.pt")


@pytest.mark.parametrize("keep", [10, 200, 2000])
@pytest.mark.parametrize("suffix", ["pth", "safetensors", "h5"])
def test_truncated_files_are_named(tmp_path, keep, suffix):
    path = tmp_path / f"x.{suffix}"
    values = {"a.weight": np.arange(1000, dtype=np.float32)}
    if suffix == "pth":
        torch.save({n: torch.from_numpy(v) for n, v in values.items()}, path)
    elif suffix == "safetensors":
        from safetensors.numpy import save_file

        save_file(values, path)
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file["a.weight"] = values["a.weight"]
    np.testing.assert_array_equal(read_tensors(path).tensors["a.weight"], values["a.weight"])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=rf"x\.{suffix}"):
        read_tensors(path)


def test_unknown_kinds_are_named(tmp_path):
    for name, data in (("x.ckpt", b"\x89PNG\r\n\x1a\n"), ("y.pth", b""), ("z.pt", b"hello")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=f"{name} is no file of weights"):
            read_tensors(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as file:
        file.writestr("readme.txt", "no tensors")
    with pytest.raises(InputError, match=r"a\.pth"):
        read_tensors(tmp_path / "a.pth")
    torch.save({"epoch": 3, "state_dict": {"lr": 0.1}}, tmp_path / "b.pth")
    with pytest.raises(InputError, match=r"b\.pth is a PyTorch file without a state_dict"):
        read_tensors(tmp_path / "b.pth")
    torch.save([torch.ones(3)], tmp_path / "c.pth")
    with pytest.raises(InputError, match="without a state_dict"):
        read_tensors(tmp_path / "c.pth")


def test_another_programs_network_is_described(tmp_path):
    torch.save({"conv.weight": torch.ones(2, 3)}, tmp_path / "x.pth")
    with pytest.raises(InputError, match=r"has 1 tensors: 'conv\.weight' \(2, 3\)"):
        load_network(tmp_path / "x.pth")


def test_without_pytorch_one_sentence(tmp_path, monkeypatch):
    torch.save({"a": torch.ones(2)}, tmp_path / "x.pth")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"reading .*x\.pth needs PyTorch.*pip install torch"):
        read_tensors(tmp_path / "x.pth")


def test_a_sha256_beside_a_foreign_file_is_checked(tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"a": torch.ones(2)}, path)
    (tmp_path / "x.pth.sha256").write_text("0" * 64 + "  x.pth\n")
    with pytest.raises(InputError, match=r"x\.pth is damaged: x\.pth\.sha256 expects"):
        read_tensors(path)


# Every kind of number: both zeros, the smallest and the largest, a third, NaN and infinities.
BFLOAT16 = [0.0, -0.0, 1.0, -1.5, 1 / 3, 9.2e-41, 3.3895e38, float("inf"), -float("inf"), np.nan]


@pytest.mark.parametrize("kind", ["pth", "safetensors", "ckpt"])
def test_bfloat16_and_half_become_numpy(tmp_path, kind, mindspore_cpu):
    path = tmp_path / f"x.{kind}"
    wide = torch.tensor(BFLOAT16).to(torch.bfloat16).reshape(2, 5)
    tensors = {"a": wide, "b": torch.ones(2).half(), "c": torch.tensor(2.5).to(torch.bfloat16)}
    if kind == "pth":
        torch.save(tensors, path)
    elif kind == "safetensors":
        from safetensors.torch import save_file

        save_file(tensors, path)
    else:
        import mindspore as ms

        bits = {name: ms.Tensor(value.float().numpy()) for name, value in tensors.items()}
        types = {"a": ms.bfloat16, "b": ms.float16, "c": ms.bfloat16}
        parts = [{"name": n, "data": v.astype(types[n])} for n, v in bits.items()]
        ms.save_checkpoint(parts, str(path))
    found = read_tensors(path).tensors
    for name, value in tensors.items():
        assert found[name].dtype == (np.float16 if name == "b" else np.float32)
        np.testing.assert_array_equal(found[name], value.float().numpy())
    assert np.signbit(found["a"][0, 1])


def test_eight_bits_are_refused_by_name(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2).to(torch.float8_e4m3fn)}, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=r"x\.safetensors holds a tensor of a type numpy lacks"):
        read_tensors(tmp_path / "x.safetensors")


def test_tensors_beside_the_network_are_not_taken_for_it(tmp_path):
    inner = {"module.a": torch.ones(2), "module.b": torch.zeros(3)}
    contents = [
        {"epoch": torch.tensor(5), "state_dict": inner},
        {"best": torch.ones(3), "step": torch.tensor(1), "model": {"state_dict": inner}},
        {"params": inner, "lr": torch.tensor(0.1)},
    ]
    for content in contents:
        torch.save(content, tmp_path / "x.pth")
        found = read_tensors(tmp_path / "x.pth").tensors
        assert {name: value.tolist() for name, value in found.items()} == {
            "a": [1, 1], "b": [0, 0, 0],
        }  # fmt: skip
    circle = {"epoch": torch.tensor(5)}
    circle["model"] = circle
    torch.save(circle, tmp_path / "x.pth")
    assert list(read_tensors(tmp_path / "x.pth").tensors) == ["epoch"]
