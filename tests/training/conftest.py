"""A run small enough to be trained in a test: eleven images, one block of eight features."""

import cv2
import numpy as np
import pytest

# Five stages as VGG has them, a few channels each: compiled in a moment.
TINY_VGG = (4, 4, "M", 8, "M", 8, "M", 8, "M", 8)

TINY = {
    "edsr": ["--model.n_resblocks=1"],
    "rcan": ["--model.name=rcan", "--model.n_resgroups=1", "--model.n_resblocks=1",
             "--model.reduction=2"],
    "carn": ["--model.name=carn"],
}  # fmt: skip


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of eleven images: ten to train on, one to validate with."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(11):
        coarse = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
        image = cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{number:02d}.png"), image)
    return folder


@pytest.fixture
def settings(photos, tmp_path):
    """Function: the command line of a run of two epochs of six steps into `tmp_path/run`."""

    def build(*extra: str, method: str = "teacher", backbone: str = "edsr") -> list[str]:
        return [
            f"--method={method}", "--teacher=none", *TINY[backbone], "--scale=2",
            "--model.n_feats=8", "--train.widths=0.5", "--data.lr_patch=8", f"--data_dir={photos}",
            f"--cache_dir={photos.parent / 'cache'}", f"--output_dir={tmp_path / 'run'}",
            "--train.batch_size=4", "--train.epochs=2", "--train.steps_per_epoch=6",
            "--train.log_every=1", "--train.save_every=1", "--train.keep=20",
            "--train.validate_every=0", "--optim.lr=1e-3", "--optim.schedule=cosine",
            "--vgg=random", "--loss.vgg_arch=vgg16", "--loss.negatives=2", "--device_target=CPU",
            *extra,
        ]  # fmt: skip

    return build


@pytest.fixture
def run(monkeypatch):
    """Function: train in this process as train.py would; `stop_at` asks to stop at that step."""
    import signal

    from csd.config import load_config
    from csd.settings import TRAIN
    from csd.training import build, train
    from csd.training.interrupt import StopVote

    monkeypatch.setitem(build.VGG_LAYERS, "vgg16", TINY_VGG)

    def start(argv: list[str], stop_at: int = 0):
        def vote(_self, step, stop):
            return signal.SIGTERM if step == stop_at else stop.signum

        monkeypatch.setattr(StopVote, "signum", vote)
        return train(load_config(TRAIN, argv))

    return start
