"""YAML and numbers that no configuration holds: one sentence, before anything is allocated."""

import pytest

from csd.config import load_config, read_yaml
from csd.errors import InputError

BOMB = "a: &a {x: 1, y: 2, z: 3}\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} {{p: *{chr(97 + i)}, q: *{chr(97 + i)}, r: *{chr(97 + i)}}}\n"
    for i in range(20)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: {seed: !!int x}", "invalid literal"),
        ("train: {seed: !!float x}", "could not convert"),
        ("train: {seed: !!timestamp x}", "holds a value that is none"),
        ("train: {seed: !!python/object:os.system x}", "could not determine a constructor"),
        ("train: {seed: 2024-13-45}", "month must be in"),
        ("train: {seed: 2024-01-01T99:00:00}", "hour must be in"),
        ("train: {seed: " + "9" * 5000 + "}", "holds a value that is none"),
        ("train: {seed: 0x" + "f" * 5000 + "}", "hundreds of digits"),
        ("train: {seed: " + "[" * 5000 + "}", "nested too deeply|not valid YAML"),
        ("[" * 3000 + "]" * 3000, "nested too deeply|sections of keys"),
        (BOMB, "more than 10000 values"),
        ("a: &a\n  b: *a", "more than 10000 values"),
        ("train: {? [a] : b}", "unhashable|sections of keys"),
        ("1: {a: 2}", "sections of keys"),
        ("train: {1: 2}", "sections of keys"),
        ("train: [1]", "sections of keys"),
        ("- train", "sections of keys"),
        ("train: {a: *b}", "undefined alias"),
        ("\tx", "not valid YAML"),
        ("a: b: c", "not valid YAML"),
        ("a: \x07", "not valid YAML"),
        ("#" * (1 << 21), "larger than 1 MiB"),
    ],
)  # fmt: skip
def test_yaml_is_one_sentence(tmp_path, text, words):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as refused:
        read_yaml(path)
    assert len(str(refused.value)) < 400 + len(str(path))
    assert str(refused.value).startswith(str(path))


def test_a_value_is_never_longer_than_a_line(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(f"train: {{seed: {'x' * 100_000}}}")
    with pytest.raises(InputError) as refused:
        load_config("train", [f"--config={path}"])
    assert len(str(refused.value)) < 200 + len(str(path))
    for argument in (
        "--train.seed=" + "y" * 10_000,
        "--" + "z" * 10_000,
        "--train." + "k" * 10_000,
    ):
        with pytest.raises(InputError) as refused:
            load_config("train", [argument, "1"])
        assert len(str(refused.value)) < 1000


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("train.seed", ["0", "4294967295"], ["-1", "4294967296", "1e300", "1.5", "nan"]),
        ("train.batch_size", ["1", "4096"], ["0", "100000", "inf", "-3", "true"]),
        ("train.epochs", ["1", "1000000"], ["0", "1e10"]),
        ("train.steps_per_epoch", ["1"], ["0", "1e10", "nan"]),
        (
            "train.widths",
            ["0.25", "0.25,0.5"],
            ["1.5", "-0.1", "nan", "inf", ",".join(["1"] * 101)],
        ),
        ("data.workers", ["1", "256"], ["0", "257", "1e9"]),
        ("data.lr_patch", ["4", "1024"], ["3", "1e6"]),
        ("model.n_feats", ["8", "4096"], ["0", "20000", "1e6"]),
        ("model.n_resblocks", ["1"], ["0", "1e6"]),
        ("model.res_scale", ["0.1", "-1"], ["inf", "nan", "1e30"]),
        ("optim.lr", ["0", "1e-4", "10"], ["-1", "inf", "nan", "1e40", "fast"]),
        ("optim.eps", ["1e-8"], ["0", "-1", "1e-46", "inf"]),
        ("optim.beta1", ["0.9"], ["0", "1", "0.99999999999", "nan"]),
        ("optim.beta2", ["0.999"], ["0", "1"]),
        ("optim.decay_factor", ["0.1"], ["1e300", "-0.1"]),
        ("optim.clip_norm", ["0", "1"], ["inf", "-1"]),
        ("loss.contrast_weight", ["0", "200"], ["1e300", "nan"]),
        ("loss.layer_weights", ["1,1,1,1,1"], ["inf,1,1,1,1", "nan"]),
        ("infer.tile", ["16"], ["15", "1e12", "inf"]),
        ("infer.budget_ms", ["5"], ["0", "inf", "nan"]),
    ],
)
def test_every_number_has_a_range(key, good, bad):
    program = "infer" if key.startswith("infer") else "train"
    for value in good:
        load_config(program, [f"--{key}={value}"])
    for value in bad:
        with pytest.raises(InputError, match=f"{key} must be"):
            load_config(program, [f"--{key}={value}"])


def test_the_limits_are_taken_by_the_framework():
    import mindspore as ms
    from mindspore import nn

    ms.set_seed(2**32 - 1)
    weights = [ms.Parameter(ms.Tensor([1.0], ms.float32), "w")]
    for beta, eps, rate in ((1e-6, 1e-30, 0.0), (0.999999, 1.0, 1000.0)):
        nn.Adam(weights, learning_rate=rate, beta1=beta, beta2=beta, eps=eps)


def settings(*arguments):
    return load_config("train", ["--method=teacher", "--teacher=none", *arguments])


@pytest.mark.parametrize("schedule", ["step", "cosine", "constant"])
def test_as_many_steps_as_the_counter_holds(schedule):
    from csd.training.build import check_settings

    call = [f"--optim.schedule={schedule}", "--optim.warmup=500", "--train.epochs=2147483"]
    check_settings(settings(*call, "--train.steps_per_epoch=1000"))
    with pytest.raises(InputError, match="is 2149630483 steps and the optimizer counts to 2147483"):
        check_settings(settings(*call, "--train.steps_per_epoch=1001"))


@pytest.mark.parametrize(
    "sizes",
    [
        ["--model.n_feats=4096", "--model.n_resblocks=4096"],
        ["--train.batch_size=4096", "--data.lr_patch=1024"],
    ],
)
def test_sizes_that_cannot_fit_are_refused(sizes):
    from csd.training.build import check_settings

    config = settings(*sizes)
    with pytest.raises(InputError, match="a training step needs more than"):
        check_settings(config)
    check_settings(settings("--model.n_feats=256", "--model.n_resblocks=32"))


@pytest.mark.parametrize("device", ["Ascend", "GPU"])
def test_sizes_for_a_device(device, monkeypatch):
    """Its weights are made in the machine's memory; a step may need more than the machine has."""
    from csd.training import build

    monkeypatch.setattr(build, "machine_memory", lambda: 1 << 30)
    target = f"--device_target={device}"
    large = settings(target, "--model.n_feats=4096", "--model.n_resblocks=1")
    with pytest.raises(
        InputError, match=r"the weights need more than 1 GiB and this machine has 1"
    ):
        build.check_settings(large)
    # 32 blocks x 256 features x 16 images of 512^2 in float16: 64 GiB, and weights of 0.14 GiB.
    config = settings(target, "--model.n_feats=256", "--model.n_resblocks=32",
                      "--data.lr_patch=512")  # fmt: skip
    build.check_settings(config)
    for memory in (0, 65 << 30):
        build.check_memory(config, memory)
    with pytest.raises(InputError, match="a training step needs more than 65 GiB and the device h"):
        build.check_memory(config, 32 << 30)
    config.runtime.recompute = True
    build.check_memory(config, 32 << 30)


def test_the_device_is_asked_before_anything_is_made(monkeypatch, tmp_path, mindspore_cpu):
    import contextlib

    import cv2
    import numpy as np

    from csd import runtime
    from csd.training import run

    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((64, 64, 3), np.uint8))
    monkeypatch.setattr(runtime, "device_memory", lambda target: 1 << 20)
    for maker in ("cache_pairs", "create_network"):
        monkeypatch.setattr(run, maker, lambda *given, **named: pytest.fail("made"))
    config = settings(f"--data_dir={tmp_path}", f"--output_dir={tmp_path / 'run'}",
                      "--train.validate_every=0", "--device_target=CPU")  # fmt: skip
    with contextlib.ExitStack() as held, pytest.raises(InputError, match="and this machine has 0"):
        run.build_run(config, held)


@pytest.mark.parametrize("value", ["inf", "nan", "0", "-1", "1e300"])
def test_limits_of_the_web_page(value):
    from csd.cli.app import main

    for name in ("max_mb", "max_megapixels"):
        with pytest.raises(InputError, match=f"--{name} must be above 0 and at most"):
            main([f"--{name}={value}"])
