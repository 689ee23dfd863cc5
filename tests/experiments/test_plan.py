"""Which runs there are, what each is given, and what a finished one must match."""

import json

import pytest
from easydict import EasyDict

from csd.config import load_config, plain, read_yaml, save_yaml
from csd.errors import InputError
from experiments import plan
from experiments.calibration import calibrate, milliseconds, time_steps
from experiments.results import training_seconds


def _config(tmp_path, text="", *argv):
    file = tmp_path / "compared.yaml"
    file.write_text(text or "experiment: {seeds: [1, 2], steps: 40}\n")
    return load_config(
        "experiment", ["--config", str(file), "--train.epochs=4", "--scale=2", *argv]
    )


VARIANTS = """
optim: {warmup: 10}
experiment:
  seeds: [1]
  steps: 40
  teacher_steps: 80
  teacher: {optim.lr: 5.0e-4}
  variants:
    student:
    warm: warm
    csd: {method: csd}
    csd_k1: {method: csd, loss.negatives: 1, optim.lr: 2.0e-4}
"""


def test_old_names_are_read(tmp_path):
    config = _config(tmp_path, VARIANTS)
    assert plain(config)["experiment"]["variants"] == {
        "student": {"method": "student"},
        "warm": {"method": "warm"},
        "csd": {"method": "csd"},
        "csd_k1": {"method": "csd", "loss.negatives": 1, "optim.lr": 2e-4},
    }
    save_yaml(config, tmp_path / "again.yaml")
    again = load_config("experiment", ["--config", str(tmp_path / "again.yaml")])
    assert plain(again) == plain(config)
    short = load_config("experiment", ["--experiment.variants=warm,csd"])
    assert list(short.experiment.variants) == ["warm", "csd"]


def test_an_experiment_as_it_was_once_written(tmp_path, caplog):
    old = VARIANTS.replace("experiment:", "lab:").replace("variants:", "recipes:")
    config = _config(tmp_path, old.replace("method:", "recipe:"), "--lab.jobs=2")
    assert config.experiment.jobs == 2
    config.experiment.jobs = 1
    assert plain(config) == plain(_config(tmp_path, VARIANTS))
    assert "lab is now called experiment" in caplog.text
    assert "experiment.recipes is now called experiment.variants" in caplog.text


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        (
            "{a: {method: cds}}",
            "a needs `method:` with a known method, not 'cds'; did you mean csd",
        ),
        ("{a: {loss.negatives: 1}}", "a needs `method:`"),
        ("{csd: {loss.negative: 1}}", "has the unknown key loss.negative; did you mean negatives"),
        ("{csd: {loss.negatives: 0}}", "csd has loss.negatives which must be at least 1"),
        (
            "{csd: {train.batch_size: 1}}",
            "may set keys of loss and optim, which 'train.batch_size'",
        ),
        ("{../up: {method: csd}}", "must have names of letters"),
        ("{}", "must name variants"),
        ("3", "must name variants"),
    ],
)
def test_wrong_variants(variants, words, tmp_path):
    with pytest.raises(InputError) as error:
        _config(tmp_path, f"experiment: {{variants: {variants}}}")
    assert words in str(error.value)
    assert "compared.yaml: experiment.variants" in str(error.value)


def test_every_variant_is_given_what_it_is(tmp_path):
    config = _config(tmp_path, VARIANTS)
    runs = {run.variant: run for run in plan.step_runs(config)}
    config.experiment.seeds = [1, 7, 7]
    assert [run.seed for run in plan.step_runs(config)] == [1] * 4 + [7] * 4
    made = {
        name: plan.run_config(config, run, "T.ckpt", tmp_path / name) for name, run in runs.items()
    }
    said = {name: (c.train.method, c.train.teacher) for name, c in made.items()}
    assert said == {
        "student": ("student", "none"),
        "warm": ("student", "T.ckpt"),
        "csd": ("csd", "T.ckpt"),
        "csd_k1": ("csd", "T.ckpt"),
    }
    assert [c.train.epochs * c.train.steps_per_epoch for c in made.values()] == [40] * 4
    assert (made["csd"].loss.negatives, made["csd_k1"].loss.negatives) == (10, 1)
    assert (made["csd"].optim.lr, made["csd_k1"].optim.lr) == (1e-4, 2e-4)
    assert [plan.stored_widths(config, name) for name in made] == [[1.0], [1.0], [0.25], [0.25]]
    teacher = plan.teacher_config(config, tmp_path / "teacher")
    assert (teacher.train.method, teacher.optim.lr, teacher.train.steps_per_epoch) == (
        "teacher",
        5e-4,
        20,
    )


def test_the_command_line_chooses_among_the_variants_of_the_file(tmp_path):
    config = _config(tmp_path, VARIANTS, "--experiment.variants=csd_k1,joint,csd")
    assert config.experiment.variants == {
        "csd_k1": {"method": "csd", "loss.negatives": 1, "optim.lr": 2e-4},
        "joint": {"method": "joint"},
        "csd": {"method": "csd"},
    }
    with pytest.raises(InputError, match="csd_k2 needs `method:`"):
        _config(tmp_path, VARIANTS, "--experiment.variants=csd_k2,csd")


def test_equal_time_alone_times_the_others_briefly(tmp_path):
    config = _config(tmp_path, VARIANTS, "--experiment.fair=time", "--experiment.steps=100")
    config.experiment.seeds = [3, 7]
    runs = [(run.name, run.steps) for run in plan.step_runs(config)]
    assert runs == [
        ("timing/student/seed3", 60), ("timing/warm/seed3", 60), ("timing/csd_k1/seed3", 60),
        ("steps/csd/seed3", 100), ("steps/csd/seed7", 100),
    ]  # fmt: skip
    config.experiment.steps = 8
    assert {run.steps for run in plan.step_runs(config)} == {8}


def test_reordered_is_what_starts_from_a_teacher(tmp_path):
    config = _config(tmp_path, VARIANTS, "--train.reorder=true")
    made = {
        run.variant: plan.run_config(config, run, "T.ckpt", tmp_path).train.reorder
        for run in plan.step_runs(config)
    }
    assert made == {"student": False, "warm": True, "csd": True, "csd_k1": True}
    assert plan.teacher_config(config, tmp_path).train.reorder is False


def test_equal_time_stretches_the_schedule(tmp_path):
    config = _config(tmp_path, VARIANTS)
    runs = plan.time_runs(config, {"warm": 120, "csd": 40, "student": 160})
    assert [(c.variant, c.steps) for c in runs] == [("student", 160), ("warm", 120)]
    made = plan.run_config(config, runs[1], "T.ckpt", tmp_path)
    assert (made.train.steps_per_epoch, made.optim.warmup) == (30, 30)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--experiment.steps=41"], "experiment.steps must be a multiple of train.epochs"),
        (["--experiment.teacher_steps=3"], "experiment.teacher_steps must be a multiple"),
        (["--train.widths=1.0"], "widths below 1"),
        (["--train.widths=0.5,0.25"], "variant student trains one student"),
        (["--experiment.variants=student,warm"], "takes the wall time of variant csd"),
        (["--teacher=none"], "needs a teacher"),
        (["--experiment.seeds="], "experiment.seeds is empty"),
        (["--benchmark_dir=absent"], "no folder absent of benchmark sets"),
        (["--sets=Set99"], "Set99"),
    ],
)
def test_plans_that_cannot_be_run(argv, words, tmp_path, sample_images):
    bench = [f"--benchmark_dir={sample_images / 'bench'}", "--sets=Tiny"]
    plan.check_plan(_config(tmp_path, "", *bench))
    with pytest.raises(InputError) as error:
        plan.check_plan(_config(tmp_path, "", *bench, *argv))
    assert words in str(error.value)


def test_fingerprint_holds_what_decides_and_nothing_else(tmp_path, sample_images):
    config = _config(tmp_path, "", f"--data_dir={sample_images / 'photos'}")
    runs = {run.variant: run for run in plan.step_runs(config)}

    def mark(config, folder="a", teacher="t", variant="csd"):
        made = plan.run_config(config, runs[variant], "T.ckpt", tmp_path / folder)
        return plan.fingerprint(made, plan.digest_of_images(config), teacher)

    usual, warm = (json.loads(json.dumps(mark(config, variant=r))) for r in ("csd", "warm"))
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
    assert plan.differences(warm, mark(config, variant="warm")) == ["optim.lr: 0.0001 -> 0.5"]
    config.data.data_dir = str(sample_images / "bench" / "Tiny")
    assert any("images" in change for change in plan.differences(usual, mark(config)))


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
    config = EasyDict(experiment={"steps": 40}, train={"batch_size": 8, "epochs": 4})
    fast = _curve(tmp_path / "warm", [1, 80, 80])
    slow = _curve(tmp_path / "csd", [1, 8, 8])
    file = tmp_path / "calibration.json"
    table = calibrate(file, config, {"warm": [fast], "csd": [slow], "joint": []})
    assert table["ms_per_step"] == {"warm": 100.0, "csd": 1000.0}
    assert table["steps"] == {"warm": 400, "csd": 40}
    # another call, on a busier machine, with a variant more
    slower = _curve(tmp_path / "again", [1, 4, 4])
    again = calibrate(file, config, {"warm": [slower], "csd": [slow], "joint": [slower]})
    assert again["steps"] == {"warm": 400, "csd": 40, "joint": 20}
    assert json.loads(file.read_text()) == again
    config.experiment.steps = 80
    with pytest.raises(InputError, match="is of 40 steps, not 80"):
        calibrate(file, config, {})
    file.write_text("{}")
    with pytest.raises(InputError, match="is missing"):
        calibrate(file, config, {})


def test_shipped_configurations_are_experiments(pytestconfig):
    for path in sorted((pytestconfig.rootpath / "configs").glob("experiment_*.yaml")):
        config = load_config("experiment", ["--config", str(path)])
        assert read_yaml(path)["experiment"]["variants"]
        assert len(config.experiment.variants) >= 2  # something to compare
        assert config.experiment.steps % config.train.epochs == 0
