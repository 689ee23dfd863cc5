"""Photographs that cannot be trained on: named before anything is trained."""

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


def test_truncated_photograph_is_named(settings, run, photos, folder):
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


def test_photograph_smaller_than_the_patch(settings, run):
    with pytest.raises(InputError, match=r"is smaller than the HR patch of 128 pixels"):
        run(settings("--data.lr_patch=64"))


def test_one_photograph_leaves_none_to_validate_with(settings, run, photos, folder):
    own = folder(photos, 1)
    with pytest.raises(InputError, match="holds one photograph: none is left to validate with"):
        run(settings(f"--data_dir={own}", "--train.validate_every=1"))


def test_no_folder(settings, run, tmp_path):
    with pytest.raises(InputError, match=f"data_dir {tmp_path}/none does not exist"):
        run(settings(f"--data_dir={tmp_path}/none"))


def test_sink_on_a_cpu(settings, run):
    with pytest.raises(InputError, match=r"runtime.data_sink=true: the CPU has no sink"):
        run(settings("--runtime.data_sink=true"))
