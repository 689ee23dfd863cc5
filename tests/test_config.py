"""Configuration: precedence, validation, and the sentences of its errors."""

from pathlib import Path

import pytest

from csd.config import SCHEMA, defaults, load_config, plain, read_yaml, save_yaml
from csd.errors import InputError
from csd.settings import hyper_of

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def test_later_wins(tmp_path):
    config_file = tmp_path / "r.yaml"
    config_file.write_text("model: {scale: 3, n_feats: 32}\ntrain: {widths: [0.5, 0.25]}\n")
    argv = ["--config", str(config_file), "--scale", "2", "--optim.lr=3e-4", "--train.epochs", "7"]
    config = load_config("train", argv)
    assert (config.model.scale, config.model.n_feats) == (2, 32)
    assert list(config.train.widths) == [0.5, 0.25]
    assert (config.optim.lr, config.train.epochs) == (3e-4, 7)
    assert config.train.batch_size == defaults().train.batch_size


@pytest.mark.parametrize(
    ("old", "key", "value"),
    [("iterations: 7", "steps_per_epoch", 7), ("recipe: joint", "method", "joint")],
)
def test_old_keys_are_read_with_a_word_on_the_new_name(tmp_path, caplog, old, key, value):
    file = tmp_path / "old.yaml"
    file.write_text(f"train: {{{old}}}\n")
    assert load_config("train", ["--config", str(file)]).train[key] == value
    name, _, _ = old.partition(":")
    line = f"{file}: train.{name} is now called train.{key}"
    dotted = f"--train.{old.replace(': ', '=')}"
    assert load_config("train", [dotted]).train[key] == value
    assert caplog.messages == [line, line.replace(str(file), "command line")]


def test_the_old_flag_is_another_spelling_of_method(caplog):
    for flag in ("--recipe", "--method"):
        assert load_config("train", [flag, "student"]).train.method == "student"
    assert caplog.messages == []


def test_saved_configuration_reads_back(tmp_path):
    config = load_config("train", ["--model.name=rcan", "--loss.layer_weights=1,2,3,4,5"])
    save_yaml(config, tmp_path / "config.yaml")
    assert plain(load_config("train", ["--config", str(tmp_path / "config.yaml")])) == plain(config)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--train.epoch=3"], "unknown key train.epoch; did you mean epochs?"),
        (["--trian.epochs=3"], "unknown section 'trian'; did you mean train?"),
        (["--scale", "5"], "model.scale must be 2, 3 or 4, not '5'"),
        (["--train.batch_size=2.5"], "must be a whole number"),
        (["--train.batch_size=0"], "must be at least 1"),
        (["--optim.lr=fast"], "must be a number"),
        (["--optim.lr=nan"], "must be a finite number"),
        (["--data.augment=perhaps"], "must be true or false"),
        (["--method", "distil"], "must be one of teacher, student, joint, csd"),
        (["--train.widths=2"], "must be at most 1"),
        (["--train.epochs"], "needs a value"),
        (["photos"], "unknown argument 'photos'"),
        (["--config", "absent.yaml"], "no configuration file absent.yaml"),
    ],
)
def test_wrong_command_lines(argv, words):
    with pytest.raises(InputError) as error:
        load_config("train", argv)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: [1", "line"),
        ("just words", "sections"),
        ("model: {feats: 3}", "unknown key model.feats; did you mean n_feats?"),
        ("model:\n  scale: seven\n", "model.scale must be 2, 3 or 4"),
    ],
)
def test_wrong_files(text, words, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_config("train", ["--config", str(path)])
    assert words in str(error.value)
    assert "config.yaml" in str(error.value)


def test_every_key_has_a_meaning():
    for section, keys in SCHEMA.items():
        for name, key in keys.items():
            assert len(key.help) > 3, f"{section}.{name}"
            assert key.default is None or key.parse(key.default) == key.default


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_config_is_valid(path):
    config = load_config("train", ["--config", str(path)])
    assert read_yaml(path)
    assert hyper_of(config.model)["n_feats"] == config.model.n_feats
