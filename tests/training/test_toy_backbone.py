"""A backbone that the package has never seen goes the whole way: one class, one line."""

import json

import numpy as np
import pytest
from mindspore import nn, ops

from csd.nets import SlimmableSR, register, slim
from csd.nets.layers import SlimConv2d, Upsampler


class Toy(SlimmableSR):
    """Convolutions in a row. `network` is also a prefix that other programs put before names."""

    name = "toy"
    HYPER = (("n_feats", "int", 8, "features"), ("depth", "int", 1, "hidden convolutions"))

    def __init__(self, *, scale: int, n_feats: int = 8, depth: int = 1):
        super().__init__(scale, n_feats=n_feats, depth=depth)
        self.n_feats = n_feats
        self.network = SlimConv2d(3, n_feats)
        self.hidden = nn.CellList([SlimConv2d(n_feats, n_feats) for _ in range(depth)])
        self.upsampler = Upsampler(n_feats, scale)
        self.tail = SlimConv2d(n_feats, 3, resolution=scale)

    def blocks(self) -> list[nn.Cell]:
        return list(self.hidden)

    def student_config(self, width: float) -> dict:
        return {**self.hyper, "n_feats": slim(self.n_feats, width)}

    def construct(self, x, width=1.0):
        m = slim(self.n_feats, width)
        r = self.network(x + self.minus_mean, 3, m)
        for conv in self.hidden:
            r = ops.relu(conv(r, m, m))
        return self.plus_mean(self.tail(self.upsampler(r, m), m, 3))


@pytest.fixture
def toy():
    """The backbone, registered for this test alone."""
    from csd import settings
    from csd.backbones import BACKBONES

    register(Toy)
    yield
    del BACKBONES["toy"]
    settings.SCHEMA["model"] = settings.model_keys()


def _trained(run, settings, tmp_path):
    """A teacher, interrupted and resumed; then a CSD training that starts from it."""
    from csd.training.interrupt import Interrupted

    toy = ("--model.name=toy", "--model.depth=2")
    teacher = settings(*toy, f"--output_dir={tmp_path / 'teacher'}", method="teacher")
    with pytest.raises(Interrupted):
        run(teacher, stop_at=4)
    folder = run([*teacher, "--resume"])
    return run(settings(*toy, f"--teacher={folder / 'last.ckpt'}", method="csd"))


@pytest.mark.slow
def test_train_resume_teacher_eval_infer_and_export(
    toy, settings, run, tmp_path, small_set, mindspore_cpu
):
    import mindspore as ms

    from csd.checkpoints import load_network
    from csd.cli import evaluate, export, infer
    from csd.data import read_image
    from csd.export.verify import open_file
    from csd.inference import to_uint8

    folder = _trained(run, settings, tmp_path)
    ckpt = folder / "last.ckpt"
    net, meta = load_network(ckpt)
    assert meta["model"] == {"name": "toy", "scale": 2, "n_feats": 8, "depth": 2}
    assert meta["widths"] == [1.0, 0.5] and meta["progress"]["step"] == 12
    start, _ = load_network(tmp_path / "teacher" / "last.ckpt")
    assert 0 < np.abs(net.tail.bias.asnumpy() - start.tail.bias.asnumpy()).max() < 0.1

    out = tmp_path / "eval"
    assert evaluate.main([
        f"--ckpt={ckpt}", f"--data_dir={small_set}", "--sets=Tiny", f"--output_dir={out}",
        f"--cache_dir={tmp_path / 'cache'}", "--device_target=CPU",
    ]) == 0  # fmt: skip
    student = json.loads((out / "metrics.json").read_text())["runs"][-1]
    assert student["width"] == 0.5
    # 3 -> 4, twice 4 -> 4, 4 -> 16, 4 -> 3, each with its biases
    assert student["parameters"] == 9 * (12 + 2 * 16 + 64 + 12) + 4 + 8 + 16 + 3

    photo = small_set / "Tiny" / "HR" / "one.png"
    pixels = read_image(photo)
    wanted = net(ms.Tensor(pixels.transpose(2, 0, 1)[None].astype(np.float32)), 0.5).asnumpy()
    assert infer.main([
        f"--ckpt={ckpt}", f"--input={photo}", f"--output_dir={tmp_path / 'sr'}",
        "--device_target=CPU",
    ]) == 0  # fmt: skip
    (written,) = (tmp_path / "sr").iterdir()
    found = read_image(written)
    assert np.abs(found.astype(int) - to_uint8(wanted[0].transpose(1, 2, 0))).max() <= 1

    image = np.random.default_rng(0).uniform(0, 255, (1, 3, 9, 12)).astype(np.float32)
    wanted = net(ms.Tensor(image), 0.5).asnumpy()
    for file_format in ("MINDIR", "ONNX"):
        made = tmp_path / file_format
        assert export.main([
            f"--ckpt={ckpt}", f"--file_format={file_format}", "--size=9x12",
            f"--output_dir={made}", "--device_target=CPU",
        ]) == 0  # fmt: skip
        (file,) = made.glob(f"*.{file_format.lower()}")
        assert file.name == f"toy_x2_w0.5_9x12.{file_format.lower()}"
        np.testing.assert_allclose(open_file(file)(image), wanted, atol=1e-3)
        facts = json.loads(file.with_name(f"{file.name}.json").read_text())
        # one each on the LR grid but the tail, which works on half pixels
        assert facts["receptive_field"]["radius"] == 4.5
        assert facts["receptive_field"]["whole_image"] is False
