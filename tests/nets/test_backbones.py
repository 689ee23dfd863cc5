"""The tables of hyper-parameters: read without MindSpore, the same as the classes have."""

import inspect
import subprocess
import sys

import pytest

from csd.backbones import BACKBONES, hyper_table
from csd.config import load_config
from csd.errors import InputError
from csd.settings import SCHEMA, hyper_of


@pytest.mark.parametrize("name", BACKBONES)
def test_a_table_is_its_class_and_its_constructor(name, mindspore_cpu):
    from csd.nets import backbone, create_model

    cls, table = backbone(name), hyper_table(name)
    assert tuple(map(tuple, table)) == cls.HYPER and cls.name == name
    accepted = dict(inspect.signature(cls.__init__).parameters)
    assert list(accepted) == ["self", "scale", *(row.name for row in table)]
    assert all(accepted[row.name].default == row.default for row in table)
    net = create_model(name, scale=2, n_feats=16)
    assert set(net.hyper) == {row.name for row in table}
    assert all(row.name in SCHEMA["model"] and row.meaning for row in table)


def test_the_settings_know_the_tables_without_mindspore():
    code = (
        "import sys, csd.config\n"
        "assert not {'mindspore', 'csd.nets'} & set(sys.modules)\n"
        "print(csd.config.key_table('train'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for line in (
        "backbone: edsr, rcan, carn, msrresnet",
        "residual blocks: edsr (16), msrresnet (16); blocks of a group: rcan (20)",
        "residual groups: rcan (10)",
    ):
        assert line in done.stdout


def test_hyper_parameters_are_the_backbones_own():
    config = load_config("train", ["--model.name=rcan", "--model.n_resblocks=3"])
    assert hyper_of(config.model) == {
        "n_feats": 64, "n_resgroups": 10, "n_resblocks": 3, "reduction": 16,
    }  # fmt: skip
    assert hyper_of({"name": "edsr", "res_scale": 0.1}) == {
        "n_feats": 64, "n_resblocks": 16, "res_scale": 0.1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("hyper", "words"),
    [
        ({"n_feat": 8}, "carn has no hyper-parameter 'n_feat'; it has n_feats, outer_relu"),
        ({"n_feats": 2.5}, "n_feats of carn must be a whole number of at least 1, not 2.5"),
        ({"n_feats": True}, "n_feats of carn must be a whole number"),
        ({"n_feats": "8"}, "n_feats of carn must be a whole number"),
        ({"outer_relu": 1}, "outer_relu of carn must be true or false, not 1"),
    ],
)
def test_create_model_names_what_is_wrong(hyper, words, mindspore_cpu):
    from csd.nets import create_model

    with pytest.raises(InputError, match=words):
        create_model("carn", scale=2, **hyper)


def test_a_resumed_run_compares_hyper_parameters_not_their_spelling():
    """Runs of earlier versions hold `null` or a default where a key did not apply."""
    from csd.training.folder import changed_keys

    config = load_config("train", ["--model.name=rcan"])
    old = {"name": "rcan", "scale": 4, "n_feats": 64, "n_resblocks": None, "res_scale": 1.0}
    assert changed_keys({"model": old}, config) == []
    assert changed_keys({"model": {**old, "n_resblocks": 4}}, config) == [
        "model.n_resblocks: 4 -> 20"
    ]
    assert changed_keys({}, config) == []
