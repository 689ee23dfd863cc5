"""Which cells there are, what each is told, and what a finished one must match."""

import json

import pytest
from easydict import EasyDict

from csd.config import load_config, plain, read_yaml, save_yaml
from csd.errors import InputError
from experiments import plan
from experiments.calibration import calibrate, milliseconds, time_steps
from experiments.results import training_seconds


def _config(tmp_path, text="", *argv):
    file = tmp_path / "lab.yaml"
    file.write_text(text or "lab: {seeds: [1, 2], steps: 40}\n")
    return load_config("lab", ["--config", str(file), "--train.epochs=4", "--scale=2", *argv])


VARIANTS = """
optim: {warmup: 10}
lab:
  seeds: [1]
  steps: 40
  teacher_steps: 80
  teacher: {optim.lr: 5.0e-4}
  recipes:
    student:
    warm: warm
    csd: {recipe: csd}
    csd_k1: {recipe: csd, loss.negatives: 1, optim.lr: 2.0e-4}
"""


def test_recipes_are_read(tmp_path):
    config = _config(tmp_path, VARIANTS)
    assert plain(config)["lab"]["recipes"] == {
        "student": {"recipe": "student"},
        "warm": {"recipe": "warm"},
        "csd": {"recipe": "csd"},
        "csd_k1": {"recipe": "csd", "loss.negatives": 1, "optim.lr": 2e-4},
    }
    save_yaml(config, tmp_path / "again.yaml")
    again = load_config("lab", ["--config", str(tmp_path / "again.yaml")])
    assert plain(again) == plain(config)
    assert list(load_config("lab", ["--lab.recipes=warm,csd"]).lab.recipes) == ["warm", "csd"]


@pytest.mark.parametrize(
    ("recipes", "words"),
    [
        (
            "{a: {recipe: cds}}",
            "a needs `recipe:` with a known recipe, not 'cds'; did you mean csd",
        ),
        ("{a: {loss.negatives: 1}}", "a needs `recipe:`"),
        ("{csd: {loss.negative: 1}}", "has the unknown key loss.negative; did you mean negatives"),
        ("{csd: {loss.negatives: 0}}", "csd has loss.negatives which must be at least 1"),
        (
            "{csd: {train.batch_size: 1}}",
            "may set keys of loss and optim, which 'train.batch_size'",
        ),
        ("{../up: {recipe: csd}}", "must have names of letters"),
        ("{}", "must name recipes"),
        ("3", "must name recipes"),
    ],
)
def test_wrong_recipes(recipes, words, tmp_path):
    with pytest.raises(InputError) as error:
        _config(tmp_path, f"lab: {{recipes: {recipes}}}")
    assert words in str(error.value)
    assert "lab.yaml: lab.recipes" in str(error.value)


def test_every_recipe_is_told_what_it_is(tmp_path):
    config = _config(tmp_path, VARIANTS)
    cells = {cell.recipe: cell for cell in plan.step_cells(config)}
    config.lab.seeds = [1, 7, 7]
    assert [cell.seed for cell in plan.step_cells(config)] == [1] * 4 + [7] * 4
    made = {
        name: plan.cell_config(config, cell, "T.ckpt", tmp_path / name)
        for name, cell in cells.items()
    }
    told = {name: (c.train.method, c.train.teacher) for name, c in made.items()}
    assert told == {
        "student": ("student", "none"),
        "warm": ("student", "T.ckpt"),
        "csd": ("csd", "T.ckpt"),
        "csd_k1": ("csd", "T.ckpt"),
    }
    assert [c.train.epochs * c.train.steps_per_epoch for c in made.values()] == [40] * 4
    assert (made["csd"].loss.negatives, made["csd_k1"].loss.negatives) == (10, 1)
    assert (made["csd"].optim.lr, made["csd_k1"].optim.lr) == (1e-4, 2e-4)
    assert [plan.stored_width(config, name) for name in made] == [1.0, 1.0, 0.25, 0.25]
    teacher = plan.teacher_config(config, tmp_path / "teacher")
    assert (teacher.train.method, teacher.optim.lr, teacher.train.steps_per_epoch) == (
        "teacher",
        5e-4,
        20,
    )


def test_equal_time_stretches_the_schedule(tmp_path):
    config = _config(tmp_path, VARIANTS)
    cells = plan.time_cells(config, {"warm": 120, "csd": 40, "student": 160})
    assert [(c.recipe, c.steps) for c in cells] == [("student", 160), ("warm", 120)]
    made = plan.cell_config(config, cells[1], "T.ckpt", tmp_path)
    assert (made.train.steps_per_epoch, made.optim.warmup) == (30, 30)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--lab.steps=41"], "lab.steps must be a multiple of train.epochs"),
        (["--lab.teacher_steps=3"], "lab.teacher_steps must be a multiple"),
        (["--train.widths=0.5,0.25"], "one width below 1"),
        (["--lab.recipes=student,warm"], "takes the wall time of recipe csd"),
        (["--teacher=none"], "needs a teacher"),
        (["--lab.seeds="], "lab.seeds is empty"),
        (["--benchmark_dir=absent"], "no folder absent of benchmark sets"),
        (["--sets=Set99"], "Set99"),
    ],
)
def test_plans_that_cannot_be_run(argv, words, tmp_path, pictures):
    bench = [f"--benchmark_dir={pictures / 'bench'}", "--sets=Tiny"]
    plan.check_plan(_config(tmp_path, "", *bench))
    with pytest.raises(InputError) as error:
        plan.check_plan(_config(tmp_path, "", *bench, *argv))
    assert words in str(error.value)


def test_fingerprint_holds_what_decides_and_nothing_else(tmp_path, pictures):
    config = _config(tmp_path, "", f"--data_dir={pictures / 'photos'}")
    cells = {cell.recipe: cell for cell in plan.step_cells(config)}

    def mark(config, folder="a", teacher="t", recipe="csd"):
        made = plan.cell_config(config, cells[recipe], "T.ckpt", tmp_path / folder)
        return plan.fingerprint(made, plan.digest_of_photographs(config), teacher)

    usual, warm = (json.loads(json.dumps(mark(config, recipe=r))) for r in ("csd", "warm"))
    assert plan.differences(usual, mark(config)) == []
    config.data.workers, config.train.save_every, config.train.keep = 4, 7, 9
    assert plan.differences(usual, mark(config, "b")) == []
    assert plan.differences(usual, mark(config, teacher="u")) == ["teacher: t -> u"]
    usual["train.recipe"] = usual.pop("train.method")  # as the key was once called
    assert plan.differences(usual, mark(config)) == []
    del usual["loss.teacher_weight"]  # of a program that did not know it
    assert plan.differences(usual, mark(config)) == []
    config.loss.teacher_weight, config.optim.lr = 2.0, 0.5
    assert plan.differences(usual, mark(config)) == [
        "optim.lr: 0.0001 -> 0.5", "loss.teacher_weight: 1.0 -> 2.0",
    ]  # fmt: skip
    assert plan.differences(warm, mark(config, recipe="warm")) == ["optim.lr: 0.0001 -> 0.5"]
    config.data.data_dir = str(pictures / "bench" / "Tiny")
    assert any("photographs" in change for change in plan.differences(usual, mark(config)))


def _curve(folder, rates, every=10):
    folder.mkdir(parents=True)
    lines = ["epoch,step,lr,images_per_second,val_psnr_1.0"]
    for i, rate in enumerate(rates, 1):
        lines += [f"1,{i * every},0.1,{rate},", f"1,{i * every},,,30.5"]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_milliseconds_leave_out_compilation_and_validation(tmp_path):
    folder = _curve(tmp_path / "run", [1.0, 16.0, 8.0])
    assert milliseconds(folder, 8) == [500.0, 1000.0]
    assert training_seconds(folder, 8) == pytest.approx(10 * 8 / 1 + 10 * 8 / 16 + 10 * 8 / 8)
    assert milliseconds(_curve(tmp_path / "short", [4.0]), 8) == [2000.0]


def test_time_steps_are_the_nearest_multiple():
    assert time_steps(100_000, 500, 4) == 200
    assert time_steps(100_000, 470, 4) == 212  # 212.8
    assert time_steps(100, 5000, 4) == 4


def test_calibration_is_kept(tmp_path):
    config = EasyDict(lab={"steps": 40}, train={"batch_size": 8, "epochs": 4})
    fast = _curve(tmp_path / "warm", [1, 80, 80])
    slow = _curve(tmp_path / "csd", [1, 8, 8])
    file = tmp_path / "calibration.json"
    table = calibrate(file, config, {"warm": [fast], "csd": [slow], "joint": []})
    assert table["ms_per_step"] == {"warm": 100.0, "csd": 1000.0}
    assert table["steps"] == {"warm": 400, "csd": 40}
    # another call, on a busier machine, with a recipe more
    slower = _curve(tmp_path / "again", [1, 4, 4])
    again = calibrate(file, config, {"warm": [slower], "csd": [slow], "joint": [slower]})
    assert again["steps"] == {"warm": 400, "csd": 40, "joint": 20}
    assert json.loads(file.read_text()) == again
    config.lab.steps = 80
    with pytest.raises(InputError, match="is of 40 steps, not 80"):
        calibrate(file, config, {})
    file.write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        calibrate(file, config, {})


def test_shipped_configurations_are_laboratories(pytestconfig):
    for path in sorted((pytestconfig.rootpath / "configs").glob("lab_*.yaml")):
        config = load_config("lab", ["--config", str(path)])
        assert read_yaml(path)["lab"]["recipes"]
        assert len(config.lab.recipes) >= 4
        assert config.lab.steps % config.train.epochs == 0
