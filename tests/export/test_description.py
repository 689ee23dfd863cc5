"""Descriptions of exported models that somebody changed, and models that are not the described."""

import json

import pytest

from csd.errors import InputError
from csd.export.description import check_digest, read_description, sha256_of

FACTS = {
    "scale": 4,
    "width": 0.25,
    "architecture": {"name": "edsr"},
    "input": {"shape": [1, 3, None, None]},
    "output": {"shape": [1, 3, None, None]},
    "receptive_field": {"whole_image": False, "radius": 7.75},
}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.mindir"
    path.write_bytes(b"abc")
    return path


def write(model, content):
    text = content if isinstance(content, str) else json.dumps(content)
    model.with_name("m.mindir.json").write_text(text)


def test_what_export_writes_is_read(model):
    write(model, FACTS)
    assert read_description(model) == FACTS
    write(model, {**FACTS, "input": {"shape": [1, 3, 20, 30]}})
    assert read_description(model)["input"]["shape"] == [1, 3, 20, 30]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"scale": -1}, "'scale'"),
        ({"scale": 1e400}, "'scale'"),
        ({"scale": 2.5}, "'scale'"),
        ({"scale": "4"}, "'scale'"),
        ({"scale": True}, "'scale'"),
        ({"width": None}, "'width'"),
        ({"width": float("nan")}, "'width'"),
        ({"width": [0.25]}, "'width'"),
        ({"architecture": "edsr"}, "'architecture'"),
        ({"architecture": {"name": 5}}, r"'architecture\.name'"),
        ({"input": {"shape": [1, 3, 0, 5]}}, "height"),
        ({"input": {"shape": [1, 3, 5, 10**12]}}, "width in 'input"),
        ({"input": {"shape": [1, 3]}}, r"'input\.shape'"),
        ({"input": {"shape": "1x3"}}, r"'input\.shape'"),
        ({"input": None}, "'input'"),
        ({"receptive_field": {"whole_image": "no"}}, r"'receptive_field\.whole_image'"),
        ({"file_sha256": 3}, "'file_sha256'"),
    ],
)
def test_a_changed_value_is_named(model, change, place):
    write(model, {**FACTS, **change})
    with pytest.raises(InputError, match=place + ".*; export it again"):
        read_description(model)


@pytest.mark.parametrize("key", [*FACTS])
def test_a_missing_value_is_named(model, key):
    write(model, {k: v for k, v in FACTS.items() if k != key})
    with pytest.raises(InputError, match=f"'{key}' is missing; export it again"):
        read_description(model)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"x"', "[" * 100_000, "1" * 10_000])
def test_no_table_at_all(model, content):
    write(model, content)
    with pytest.raises(InputError, match="is not the description of an exported network"):
        read_description(model)


def test_a_model_has_the_digest_of_its_description(model):
    facts = {**FACTS, "file_sha256": sha256_of(model)}
    assert facts["file_sha256"].startswith("ba7816bf8f01cfea")
    check_digest(model, facts)
    check_digest(model, FACTS)  # of an older version, without one
    model.write_bytes(b"abd")
    with pytest.raises(InputError, match=r"m\.mindir is damaged or not the file that"):
        check_digest(model, facts)


def test_a_pipe_is_no_description(model):
    import os

    os.mkfifo(model.with_name("m.mindir.json"))
    with pytest.raises(InputError, match="is a pipe, socket or device"):
        read_description(model)
