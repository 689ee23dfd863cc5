"""Images that cannot be trained on: named before anything is trained."""

import os

import numpy as np
import pytest

from csd.errors import InputError


@pytest.fixture
def folder(tmp_path):
    import shutil

    def build(photos, count=3):
        (tmp_path / "own").mkdir()
        for source in sorted(photos.iterdir())[:count]:
            shutil.copy(source, tmp_path / "own")
        return tmp_path / "own"

    return build


def test_truncated_image_is_named(settings, run, photos, folder):
    own = folder(photos)
    broken = own / "01.png"
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(InputError, match=r"01\.png"):
        run(settings(f"--data_dir={own}"))


def test_text_that_calls_itself_png_is_named(settings, run, photos, folder):
    own = folder(photos)
    (own / "01.png").write_text("not an image")
    with pytest.raises(InputError, match=r"01\.png"):
        run(settings(f"--data_dir={own}"))


def test_image_smaller_than_the_patch(settings, run):
    with pytest.raises(InputError, match=r"is smaller than the HR patch of 128 pixels"):
        run(settings("--data.lr_patch=64"))


def test_one_image_leaves_none_to_validate_with(settings, run, photos, folder):
    own = folder(photos, 1)
    with pytest.raises(InputError, match="holds one image: none is left to validate with"):
        run(settings(f"--data_dir={own}", "--train.validate_every=1"))


def test_no_folder(settings, run, tmp_path):
    with pytest.raises(InputError, match=f"data_dir {tmp_path}/none does not exist"):
        run(settings(f"--data_dir={tmp_path}/none"))


def test_sink_on_a_cpu(settings, run):
    with pytest.raises(InputError, match=r"runtime.data_sink=true: the CPU has no sink"):
        run(settings("--runtime.data_sink=true"))


def test_more_workers_than_cores_are_as_many_as_there_are(settings, run):
    """The framework refuses them; a configuration of a larger machine runs here as well."""
    from csd.checkpoints import load_checkpoint

    few = load_checkpoint(run(settings()) / "last.ckpt").params
    many = settings("--data.workers=200")
    many[many.index(next(o for o in many if o.startswith("--output_dir")))] += "_many"
    for name, value in load_checkpoint(run(many) / "last.ckpt").params.items():
        np.testing.assert_array_equal(value, few[name])


def test_damage_that_cannot_be_put_right_is_one_sentence(settings, run, photos, tmp_path):
    """The cache is damaged, and the image it came from cannot be read any more."""
    import shutil

    own = tmp_path / "own"
    shutil.copytree(photos, own)
    options = settings(f"--data_dir={own}", f"--cache_dir={tmp_path / 'cache'}")
    run(options)
    for file in (tmp_path / "cache" / "images").glob("*.npy"):
        file.write_bytes(file.read_bytes()[:200].ljust(file.stat().st_size, b"\0"))
    for image in own.iterdir():  # as long and as old as they were, and the header is whole
        status = image.stat()
        image.write_bytes(image.read_bytes()[:60].ljust(status.st_size, b"\0"))
        os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    again = [*options, "--resume", "--train.epochs=3", "--allow_changed"]
    with pytest.raises(InputError, match=r"own/\d+\.png cannot be read as an image"):
        run(again)
