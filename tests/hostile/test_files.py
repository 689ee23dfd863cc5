"""Files that cannot be files: no permission, long names, loops of links, pipes, devices.

What opens files is called directly: a program prints what it raises, which `test_main` shows.
"""

import errno
import os
import sys

import pytest

from csd.errors import InputError, WorkError, printable, run_main
from csd.files import open_regular, read_json, read_text

NONE = "no such|no checkpoint|no configuration|do not exist"


def kinds(folder):
    """Name -> (path, words of the sentence), of everything that cannot be read."""
    pipe, loop, device = folder / "pipe", folder / "loop", folder / "device"
    os.mkfifo(pipe)
    loop.symlink_to("loop")
    device.symlink_to("/dev/zero")
    return {
        "pipe": (pipe, "pipe, socket or device"),
        "device": (device, "pipe, socket or device"),
        "loop": (loop, "Too many levels of symbolic links"),
        "long": (folder / ("n" * 300), "File name too long"),
        "folder": (folder, "is a folder"),
        "missing": (
            folder / "none",
            "does not exist|no such|no checkpoint|no configuration|do not",
        ),
        "below a file": (
            folder / "file" / "x",
            "Not a directory|no such|no checkpoint|no conf|do not",
        ),
    }


KINDS = ("pipe", "device", "loop", "long", "folder", "missing", "below a file")


def read_yaml(path):
    from csd.config import read_yaml

    read_yaml(path)


def read_checkpoint(path):
    from csd.checkpoints import load_checkpoint

    load_checkpoint(path)


def read_weights(path):
    from csd.checkpoints.files import read_tensors

    read_tensors(path)


def read_vgg(path):
    from csd.checkpoints.vgg import read_vgg

    read_vgg(path)


def read_image(path):
    from csd.data.decode import read_image_file

    read_image_file(path)


def read_metrics(path):
    from csd.evaluation.tables import read_metrics

    read_metrics(path)


def read_curves(path):
    from csd.reporting.report import read_curves

    read_curves(path)


def open_network(path):
    from csd.inference.opening import open_upscaler

    open_upscaler(path)


READERS = [
    read_yaml, read_checkpoint, read_weights, read_vgg, read_image, read_metrics, read_curves,
    open_network, open_regular, read_text,
]  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_one_sentence(tmp_path, reader, kind):
    (tmp_path / "file").write_text("x")
    path, words = kinds(tmp_path)[kind]
    with pytest.raises(InputError, match=words) as refused:
        reader(path)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("reader", READERS)
def test_no_permission(tmp_path, reader):
    path = tmp_path / "secret"
    with pytest.raises(InputError):
        reader(path)  # imports what it needs, which nobody may not be allowed to read
    path.write_text("x")
    path.chmod(0)
    user = os.geteuid()
    if user == 0:  # root may read everything
        os.seteuid(65534)
    try:
        with pytest.raises(InputError, match=r"[Pp]ermission"):
            reader(path)
    finally:
        os.seteuid(user)


def test_a_digest_file_that_is_a_pipe(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"\x08" + bytes(7) + b"{}      ")
    os.mkfifo(tmp_path / "w.safetensors.sha256")
    with pytest.raises(InputError, match=r"w\.safetensors\.sha256 is a pipe"):
        read_weights(path)
    (tmp_path / "w.safetensors.sha256").unlink()
    (tmp_path / "w.safetensors.sha256").write_text("no digest")
    with pytest.raises(InputError, match="holds no SHA-256"):
        read_weights(path)


def test_json_that_is_no_utf8_or_too_deep(tmp_path):
    path = tmp_path / "a.json"
    for content, words in (
        (b'"\xff"', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{", "Expecting"),
        (b"1" * 5000, "digits"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=words):
            read_json(path, lambda _: None, "a table", "write it again")


def main_raising(error):
    def main(_):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), 2, "/x/y: Permission denied"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a"), 2, "a does not exist"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "n"), 2, "n: File name too long"),
        (OSError(errno.ENOSPC, "No space left on device", "o.png"), 1, "o.png: No space left"),
        (OSError(errno.EFBIG, "File too large"), 1, "File too large"),
        (PermissionError(errno.EACCES, "Permission denied", b"a\xff"), 2, "a\\udcff: Permission"),
        (MemoryError(), 1, "not enough memory"),
        (RecursionError("maximum depth"), 2, "nested too deeply"),
        (InputError("a\x1b[2J\nb"), 2, r"a\x1b[2J\nb"),
        (WorkError("disk"), 1, "disk"),
    ],
)
def test_main_prints_one_sentence(capsys, error, code, words):
    assert run_main(main_raising(error), []) == code
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1 and words in printed


def test_output_to_a_full_device(monkeypatch, capfd):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", full)
        assert run_main(lambda _: print("a line"), []) == 1
    assert "the output cannot be written: No space left" in capfd.readouterr().err


def test_names_are_printed_without_control_characters():
    assert printable("a\x1b[31m\r\n\u202eb") == r"a\x1b[31m\r\n\u202eb"
    assert printable("日本 é.png") == "日本 é.png"
    assert printable(b"\xff.png".decode("utf-8", "surrogateescape")) == "\\udcff.png"
