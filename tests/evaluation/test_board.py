"""Inputs and scores around a run of the C++ program."""

import json

import numpy as np
import pytest

from csd.data import Pair, write_png
from csd.data.images import read_image
from csd.errors import InputError, WorkError
from csd.evaluation.board import describe, model_files, score_outputs, write_inputs

FACTS = {
    "scale": 2,
    "width": 0.25,
    "parameters": 7,
    "architecture": {"name": "edsr"},
    "input": {"shape": [1, 3, 12, 15]},
    "output": {"shape": [1, 3, 24, 30]},
    "receptive_field": {"whole_image": False},
}


@pytest.fixture
def pairs(tmp_path):
    rng = np.random.default_rng(0)
    made = []
    for name in ("a", "b"):
        write_png(tmp_path / "HR" / f"{name}.png", rng.integers(0, 256, (25, 31, 3), np.uint8))
        made.append(Pair(name, tmp_path / "HR" / f"{name}.png"))
    return made


def stats_of(tmp_path, names):
    path = tmp_path / "stats.json"
    images = [{"output": f"/x/{n}.png", "inference_ms": 3.5} for n in names]
    path.write_text(json.dumps({"images": images}))
    return path


def test_inputs_are_small_and_scores_are_exact(pairs, tmp_path):
    write_inputs(pairs, 2, tmp_path / "lr")
    assert read_image(tmp_path / "lr" / "a.png").shape == (12, 15, 3)
    for pair in pairs:
        hr = read_image(pair.hr)[:24, :30]
        # One grey level everywhere but in a: 10 log10(255^2 / (219 / 255)^2) on Y
        sr = hr if pair.name == "a" else np.where(hr < 255, hr + 1, hr - 1).astype(np.uint8)
        write_png(tmp_path / "sr" / f"{pair.name}.png", sr)
    row = score_outputs(
        FACTS, {"S": pairs}, {"S": tmp_path / "sr"}, {"S": stats_of(tmp_path, "ab")}
    )
    images = row["sets"]["S"]["images"]
    assert images["a"]["psnr_y"] == np.inf and images["a"]["ssim_y"] == pytest.approx(1)
    assert images["b"]["psnr_y"] == pytest.approx(48.13 + 1.32, abs=0.2)
    assert images["b"]["ms"] == 3.5 and row["width"] == 0.25


def test_a_missing_image_is_named(pairs, tmp_path):
    with pytest.raises(WorkError, match=r"a\.png was not written"):
        score_outputs(FACTS, {"S": pairs}, {"S": tmp_path}, {"S": stats_of(tmp_path, "ab")})


def test_models_and_descriptions(tmp_path):
    for path in (tmp_path, tmp_path / "none.mindir"):
        with pytest.raises(InputError, match="no MINDIR"):
            model_files(path, "CPU")
    model = tmp_path / "m.mindir"
    model.write_bytes(b"")
    assert model_files(tmp_path, "CPU") == model_files(model, "Ascend") == [model]
    with pytest.raises(InputError, match=r"comes without m\.mindir\.json"):
        describe(model)
    (tmp_path / "m.mindir.json").write_text("{}")
    with pytest.raises(InputError, match="'scale' is missing"):
        describe(model)
    (tmp_path / "m.mindir.json").write_text(json.dumps(FACTS))
    assert describe(model)["scale"] == 2


def test_a_device_takes_its_own_models(tmp_path):
    for name in ("a.mindir", "a_ascend.mindir", "b.mindir", "c_ascend.mindir", "a_ascend.cfg"):
        (tmp_path / name).write_bytes(b"")

    def names(device):
        return [path.name for path in model_files(tmp_path, device)]

    assert names("CPU") == ["a.mindir", "b.mindir"]
    assert names("Ascend") == ["a_ascend.mindir", "b.mindir", "c_ascend.mindir"]
    # A file that is named is taken as it is.
    assert model_files(tmp_path / "a.mindir", "Ascend") == [tmp_path / "a.mindir"]
    for name in ("a.mindir", "b.mindir"):
        (tmp_path / name).unlink()
    with pytest.raises(InputError, match="no MINDIR"):
        model_files(tmp_path, "CPU")


def test_a_converted_model_has_the_description_of_its_source(tmp_path):
    converted = tmp_path / "m_ascend.mindir"
    with pytest.raises(InputError, match=r"comes without m\.mindir\.json"):
        describe(converted)
    (tmp_path / "m.mindir.json").write_text(json.dumps(FACTS))
    assert describe(converted) == FACTS
    (tmp_path / "m_ascend.mindir.json").write_text(json.dumps({**FACTS, "scale": 3}))
    assert describe(converted)["scale"] == 3
    with pytest.raises(InputError, match=r"comes without m_other\.mindir\.json"):
        describe(tmp_path / "m_other.mindir")
