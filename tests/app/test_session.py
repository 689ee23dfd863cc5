"""The page's work without the page: results, limits, sentences."""

import os
import re

import numpy as np
import pytest
from networks import upscaler_of
from PIL import Image

from csd.app.session import MEGABYTE, Session
from csd.errors import InputError


def repeat(x):
    return x.repeat(2, axis=2).repeat(2, axis=3)


@pytest.fixture
def session(tmp_path):
    def brighter(width):
        return lambda x: repeat(x) + np.float32(50)

    upscaler = upscaler_of(repeat, widths=(0.25, 1.0), at=brighter, tile=192)
    (tmp_path / "results").mkdir()
    return Session(upscaler, tmp_path / "results", max_bytes=MEGABYTE, max_pixels=300 * 200)


@pytest.fixture
def photo(tmp_path):
    image = np.random.default_rng(0).integers(0, 200, (200, 300, 3), np.uint8)
    path = tmp_path / "my <photo>.png"
    Image.fromarray(image).save(path)
    return path


def test_answer_has_images_a_file_and_a_line(session, photo):
    shares = []
    answer = session.upscale(photo, 0.25, shares.append)
    assert shares == [0.25 * n for n in (1, 2, 3, 4)]
    assert answer.before.shape == answer.after.shape == (400, 600, 3)
    assert answer.file.name == "my__photo__x2.png" and session.folder in answer.file.parents
    with Image.open(photo) as small, Image.open(answer.file) as large:
        wanted = np.asarray(small).repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(np.asarray(large), wanted)
    assert "300 x 200 → 600 x 400 pixels" in answer.summary and "width 0.25" in answer.summary
    assert re.search(r"of which test \d+\.\d s", answer.summary)
    teacher = session.upscale(photo, 1.0)
    np.testing.assert_array_equal(teacher.after, answer.after + 50)
    assert [width for _, width in session.widths()] == [0.25, 1.0]


def test_old_results_go(session, photo):
    for _ in range(7):
        last = session.upscale(photo, 0.25)
    assert last.file.is_file() and len(list(session.folder.iterdir())) == 4


def test_transparency_is_shown_on_grey_and_kept_in_the_file(session, tmp_path):
    Image.new("RGBA", (20, 10), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    answer = session.upscale(tmp_path / "clear.png", 0.25)
    assert (answer.after == 238).all() and (answer.before == 238).all()
    with Image.open(answer.file) as image:
        assert image.mode == "RGBA" and image.getpixel((3, 3)) == (255, 0, 0, 0)


def test_large_images_are_shown_small(session, tmp_path):
    Image.new("L", (6000, 10)).save(tmp_path / "long.png")
    answer = session.upscale(tmp_path / "long.png", 0.25)
    assert answer.after.shape == answer.before.shape == (3, 1600, 3)
    with Image.open(answer.file) as image:
        assert image.size == (12000, 20)


def test_limits_are_sentences_without_our_paths(session, tmp_path):
    Image.new("RGB", (301, 200)).save(tmp_path / "wide.png")
    (tmp_path / "heavy.png").write_bytes(bytes(MEGABYTE + 1))
    (tmp_path / "text.png").write_text("once upon a time")
    for name, words in (("wide", "megapixels"), ("heavy", "at most 1 MB"), ("text", "damaged")):
        with pytest.raises(InputError, match=words) as error:
            session.upscale(tmp_path / f"{name}.png", 0.25)
        assert str(tmp_path) not in str(error.value)
    with pytest.raises(InputError, match="not among"):
        session.upscale(tmp_path / "wide.png", 0.5)
    assert list(session.folder.iterdir()) == []


def test_an_upload_never_reaches_ghostscript(session, tmp_path, monkeypatch):
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    for suffix in (".png", ".eps", ".tif"):
        path = tmp_path / f"upload{suffix}"
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
        with pytest.raises(InputError, match=r"this file .*PostScript is not read here"):
            session.upscale(path, 0.25)
    assert not (tmp_path / "ran").exists()


def test_pipes_and_strange_uploads_are_sentences(session, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="this file is a pipe"):
        session.upscale(tmp_path / "pipe.png", 0.25)
    with pytest.raises(InputError, match="no such image file"):
        session.upscale(tmp_path / "gone.png", 0.25)
