"""Files that the program makes: new ones, whatever lies under their name."""

import os

import pytest

from csd.evaluation.tables import write_text
from csd.files import lock_file, new_file


@pytest.fixture
def precious(tmp_path):
    file = tmp_path / "precious"
    file.write_text("mine")
    return file


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_new_file_leaves_what_a_link_leads_to(precious, tmp_path, link):
    link(precious, tmp_path / "out")
    with new_file(tmp_path / "out") as file:
        file.write(b"new")
        file.seek(0)
        assert file.read() == b"new"
    assert (tmp_path / "out").read_text() == "new"
    assert precious.read_text() == "mine"


def test_tables_are_not_written_through_a_link(precious, tmp_path):
    (tmp_path / ".a.md.tmp").symlink_to(precious)
    write_text(tmp_path / "a.md", "1\r\n2\n")
    assert (tmp_path / "a.md").read_bytes() == b"1\r\n2\n"
    assert precious.read_text() == "mine"


def test_lock_file_keeps_its_content_and_is_never_a_link(precious, tmp_path):
    with lock_file(precious):
        pass
    assert precious.read_text() == "mine"
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    with pytest.raises(OSError, match="link is a symbolic link"):
        lock_file(tmp_path / "link")
    assert not (tmp_path / "absent").exists()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="fifo is not a regular file"):
        lock_file(tmp_path / "fifo")
