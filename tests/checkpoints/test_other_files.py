"""Files of weights that name other files: refused, and the other file is not read."""

import numpy as np
import pytest

from csd.checkpoints.files import read_tensors
from csd.checkpoints.vgg import read_vgg
from csd.errors import InputError

h5py = pytest.importorskip("h5py")
VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def secret(tmp_path):
    """A file of the user that holds no weights."""
    file = tmp_path / "secret"
    file.write_bytes(bytes(range(24)))
    return file


@pytest.fixture
def other(tmp_path):
    """An HDF5 file with a tensor `a`."""
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = VALUES
    return tmp_path / "other.h5"


def _refused(path, name):
    for read in (read_tensors, read_vgg):
        with pytest.raises(InputError, match=rf"refused: '{name}' takes values from another file"):
            read(path)


def test_external_storage(tmp_path, secret):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        external = [(str(secret), 0, 24)]
        made = file.create_dataset("layer/bias", (6,), np.float32, external=external)
        assert made[0] != 0  # the library does read it
    _refused(tmp_path / "x.h5", "layer/bias")


def test_virtual_dataset(tmp_path, other):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        layout = h5py.VirtualLayout((2, 3), np.float32)
        layout[:] = h5py.VirtualSource(str(other), "a", (2, 3))
        made = file.create_virtual_dataset("layer/bias", layout)
        np.testing.assert_array_equal(made[()], VALUES)
    _refused(tmp_path / "x.h5", "layer/bias")


@pytest.mark.parametrize("group", ["/", "deep/er"])
def test_external_link(tmp_path, other, group):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.require_group(group)["bias"] = h5py.ExternalLink(str(other), "a")
        np.testing.assert_array_equal(file[group]["bias"][()], VALUES)
    _refused(tmp_path / "x.h5", group)


def test_links_inside_the_file_do_no_harm(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["layer/bias"] = VALUES
        file["layer/again"] = h5py.SoftLink("/layer/bias")
        file["layer/up"] = file["/"]  # a circle
    found = read_tensors(tmp_path / "x.h5").tensors
    np.testing.assert_array_equal(found["layer/bias"], VALUES)


def test_mindir_with_weights_in_another_file(tmp_path, mindspore_cpu):
    import mindspore as ms
    from mindspore import nn
    from mindspore.train.mind_ir_pb2 import ModelProto

    from csd.export.verify import open_file

    path = tmp_path / "x.mindir"
    layer, image = nn.Conv2d(3, 3, 1, has_bias=True), np.ones((1, 3, 2, 2), np.float32)
    ms.export(layer, ms.Tensor(image), file_name=str(path), file_format="MINDIR")
    np.testing.assert_allclose(open_file(path)(image), layer(ms.Tensor(image)).asnumpy(), rtol=1e-6)
    model = ModelProto.FromString(path.read_bytes())
    parameter = model.graph.parameter[0]
    (tmp_path / "secret").write_bytes(bytes(64) + parameter.raw_data)
    parameter.external_data.location = "../secret"
    parameter.external_data.offset, parameter.external_data.length = 64, len(parameter.raw_data)
    parameter.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match=r"refused: it takes '.*' from another file, '../secret'"):
        open_file(path)
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match=r"x\.mindir is not a MINDIR file, or a damaged one"):
        open_file(path)
