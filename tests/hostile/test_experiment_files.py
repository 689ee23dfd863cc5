"""What an experiment wrote and reads back, damaged or changed: one sentence, exit code 2."""

import json

import pytest
from easydict import EasyDict

from csd.errors import InputError
from experiments.calibration import calibrate, read_calibration
from experiments.results import collect
from experiments.run import _Experiment

GOOD = {
    "reference": "csd",
    "reference_steps": 40,
    "ms_per_step": {"csd": 5.0},
    "steps": {"csd": 40},
}
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting value"),
        ("[]", "must be a table"),
        (DEEP, "nested too deeply"),
        ("\x00\xff", "is not"),
        (json.dumps({k: v for k, v in GOOD.items() if k != "steps"}), "'steps' is missing"),
        (json.dumps({**GOOD, "reference": "warm"}), "'reference' must be 'csd', not 'warm'"),
        (json.dumps({**GOOD, "reference_steps": "40"}), "'reference_steps' must be a whole number"),
        (json.dumps({**GOOD, "ms_per_step": {"csd": 0}}), "'ms_per_step.csd' must be a number"),
        (json.dumps({**GOOD, "ms_per_step": {"csd": float("nan")}}), "'ms_per_step.csd'"),
        (json.dumps({**GOOD, "ms_per_step": [5.0]}), "'ms_per_step' must be a table"),
        (json.dumps({**GOOD, "steps": {"csd": 40.5}}), "'steps.csd' must be a whole number"),
        (json.dumps({**GOOD, "steps": {"csd": 3}}), "no multiple of the 4 epochs"),
    ],
)
def test_calibration(tmp_path, text, words):
    file = tmp_path / "calibration.json"
    file.write_text(text, encoding="latin-1")
    config = EasyDict(experiment={"steps": 40}, train={"batch_size": 8, "epochs": 4})
    with pytest.raises(InputError) as caught:
        calibrate(file, config, {})
    said = str(caught.value)
    assert words in said and str(file) in said and "\n" not in said
    file.write_text(json.dumps(GOOD))
    assert read_calibration(file) == GOOD


@pytest.mark.parametrize("text", ["", "[]", "null", "3", DEEP])
def test_what_a_run_must_match(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=rf"run\.json is not .*remove {tmp_path} to train again"):
        _Experiment.match(None, tmp_path, "run a", {"train.seed": 1})


def made_run(folder, images, rows="step,images_per_second\n10,8\n20,8\n"):
    folder.mkdir(parents=True, exist_ok=True)
    score = {"psnr_y": 30.0, "ssim_y": 0.9}
    sets = {"Tiny": {**score, "images": dict.fromkeys(images, score)}} if images else {}
    row = {"width": 0.5, "self_ensemble": False, "label": "a", "sets": sets}
    (folder / "metrics.json").write_text(json.dumps({"model": "edsr", "scale": 2, "runs": [row]}))
    (folder / "metrics.csv").write_text(rows)


@pytest.fixture
def experiment():
    from csd.config import load_config

    words = ["--scale=2", "--seeds=1", "--sets=Tiny", "--experiment.fair=steps"]
    return load_config("experiment", words)


def test_scores_of_other_images_and_runs_without_times(tmp_path, experiment):
    made_run(tmp_path / "teacher", ["0"])
    one, two = (tmp_path / "runs" / "steps" / name / "seed1" for name in ("csd", "warm"))
    made_run(one, ["0"])
    made_run(two, [])  # of a call with other sets: it is scored again
    assert [run["variant"] for run in collect(experiment, tmp_path, {}, "")["runs"]] == ["csd"]
    made_run(two, ["1"])
    with pytest.raises(InputError, match=r"metrics\.json has other images of Tiny"):
        collect(experiment, tmp_path, {}, "")
    made_run(two, ["0"], "step,images_per_second\n10,\n")
    with pytest.raises(InputError, match=r"metrics\.csv does not say how long a step took"):
        collect(experiment, tmp_path, {}, "")
