"""What `--input` finds, and that no two outputs share a name or hit an input."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import upscaler_of

from csd.data import read_image, write_png
from csd.errors import InputError, printable
from csd.inference import ImageFile, write_image_file
from csd.inference.jobs import find_images, plan_jobs, unread_files
from csd.reporting import compare_image


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_file_folder_and_glob(tmp_path):
    touch(tmp_path, "b.PNG", "a.jpg", "notes.txt", ".hidden.png", "below/c.png", "odd[1].png")
    names = [p.name for p in find_images(str(tmp_path))]
    assert names == ["a.jpg", "b.PNG", "odd[1].png"]
    assert find_images(str(tmp_path / "notes.txt")) == [tmp_path / "notes.txt"]
    assert find_images(str(tmp_path / "odd[1].png")) == [tmp_path / "odd[1].png"]
    assert [p.name for p in find_images(str(tmp_path / "**" / "*.png"))] == ["c.png", "odd[1].png"]
    for wanted in ("*.webp", "absent.png", "below/none", "a\0b", "x" * 5000):
        with pytest.raises(InputError):
            find_images(str(tmp_path / wanted))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no image in the folder"):
        find_images(str(tmp_path / "empty"))


def test_a_folder_counts_what_is_not_read(tmp_path):
    touch(tmp_path, "a.jfif", "b.avif", "c.jp2", "d.tga", "e.psd", "f.psd", "g.txt")
    assert [p.name for p in find_images(str(tmp_path))] == ["a.jfif", "b.avif", "c.jp2", "d.tga"]
    assert unread_files(str(tmp_path)) == "not read: 2 .psd, 1 .txt"
    assert unread_files(str(tmp_path / "a.jfif")) is None
    touch(tmp_path, "below/h.psd")
    with pytest.raises(InputError, match=r"; not read: 1 \.psd$"):
        find_images(str(tmp_path / "below"))


@pytest.mark.parametrize(
    "stem", ["\u8d85" * 83, "a" * 251, "\u00e9" * 125 + "b", "\U0001f600" * 62]
)
def test_names_as_long_as_the_system_allows(tmp_path, stem):
    """Bytes count, not characters; nothing is lost, and every name can be made."""
    sources = [tmp_path / "in" / folder / f"{stem}.png" for folder in "xyz"]
    for source in sources:
        touch(source.parent, source.name)
    (tmp_path / "out").mkdir()
    jobs = plan_jobs(sources, tmp_path / "out", compare=True)
    outputs = [path for job in jobs for path in job.outputs()]
    assert len(set(outputs)) == 6 and outputs[0].name == f"{stem}.png"
    for number, path in enumerate(outputs):
        part = np.full((2, 3, 3), number, np.uint8)
        write_image_file(path, ImageFile(part)) if number % 2 else write_png(path, part)
    for number, path in enumerate(outputs):
        assert (read_image(path) == number).all()
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_shared_names_are_kept_apart(tmp_path):
    sources = [Path(p) for p in ("x/a.jpg", "x/a.png", "y/a.jpg", "z/a.jpg", "noend")]
    names = [job.output.name for job in plan_jobs(sources, tmp_path)]
    assert names == ["a.png", "a_png.png", "a_jpg.png", "a_jpg_2.png", "noend.png"]
    kept = [job.output.name for job in plan_jobs(sources, tmp_path, same_format=True)]
    assert kept == ["a.jpg", "a.png", "a_jpg.jpg", "a_jpg_2.jpg", "noend.png"]


def test_an_input_is_never_an_output(tmp_path):
    touch(tmp_path, "a.png", "a_png.png")
    jobs = plan_jobs([tmp_path / "a.png", tmp_path / "a_png.png"], tmp_path)
    assert not {j.output for j in jobs} & {j.source for j in jobs}


@given(
    st.lists(
        st.tuples(st.sampled_from("xy"), st.sampled_from(["a", "a_compare", "a_png", "b."]),
                  st.sampled_from([".png", ".jpg", ".JPG", ""])),
        max_size=12, unique=True,
    ),
    st.booleans(),
)  # fmt: skip
def test_outputs_are_distinct_and_inside(parts, same_format):
    sources = [Path("in", folder, stem + suffix) for folder, stem, suffix in parts]
    jobs = plan_jobs(sources, Path("out"), same_format=same_format, compare=True)
    outputs = [path for job in jobs for path in job.outputs()]
    assert len(set(outputs)) == 2 * len(sources)
    assert all(path.parent == Path("out") for path in outputs)


def test_any_name_can_be_printed():
    assert printable(b"a\xff\n.png".decode("utf-8", "surrogateescape")) == "a\\udcff\\n.png"


def test_comparison_shows_every_method(sample_image):
    def flat(value):
        return lambda x: np.full((1, 3, 2 * x.shape[2], 2 * x.shape[3]), value, np.float32)

    methods = [
        ("student", upscaler_of(flat(10))),
        ("teacher", upscaler_of(flat(200), size=(32, 32))),
    ]
    sheet = compare_image(ImageFile(sample_image), methods, 2)
    assert sheet.shape[1] == 3 * 330 + 10
    rows = sheet.shape[0] - 100
    assert (sheet[rows, 340:650] == 10).all() and (sheet[rows, 670:980] == 200).all()
    assert sheet[rows, 10:320].std() > 5
    for odd in (sample_image[:1, :1], sample_image[:1], sample_image[:, :2]):
        assert compare_image(ImageFile(odd), methods, 2).ndim == 3
    deep = ImageFile(sample_image[:, :, 0].astype(np.uint16) * 257)
    assert compare_image(deep, methods[:1], 2).dtype == np.uint8
