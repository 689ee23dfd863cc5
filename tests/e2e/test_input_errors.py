"""Wrong input of every kind: one sentence that names the thing and the remedy, and exit code 2."""

import importlib
import re
import shutil
import signal

import pytest

from csd.cli import PROGRAMS
from csd.errors import run_main


@pytest.fixture
def call(request, capsys):
    """Function: run an entry point as its file does; (exit code, its one sentence)."""

    def start(program, *arguments):
        module = importlib.import_module(PROGRAMS[program][0])
        code = run_main(module.main, [str(a) for a in arguments])
        said = capsys.readouterr().err
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1 and "Traceback" not in said, said
        return code, errors[0]

    yield start
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))  # training holds it


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A checkpoint of a small EDSR x2."""
    from csd import runtime
    from csd.checkpoints import network_state, save_checkpoint
    from csd.nets import create_model

    runtime.setup(device_target="CPU", seed=1)
    net = create_model("edsr", scale=2, n_feats=8, n_resblocks=1)
    file = tmp_path_factory.mktemp("weights") / "edsr.ckpt"
    save_checkpoint(file, network_state(net), {"model": net.describe(), "widths": [1.0, 0.5]})
    return file


@pytest.fixture
def broken(photos, tmp_path):
    """A folder whose second image ends in the middle."""
    folder = tmp_path / "broken" / "HR"
    shutil.copytree(photos, folder)
    file = folder / "01.png"
    file.write_bytes(file.read_bytes()[:400])
    return folder.parent


@pytest.fixture
def other_scale(photos, tmp_path):
    """A set whose LR images of x4 are those of x2."""
    import cv2

    folder = tmp_path / "Mixed"
    shutil.copytree(photos, folder / "HR")
    (folder / "LR_bicubic" / "X4").mkdir(parents=True)
    for file in photos.iterdir():
        small = cv2.resize(cv2.imread(str(file)), (32, 32))
        cv2.imwrite(str(folder / "LR_bicubic" / "X4" / f"{file.stem}x4.png"), small)
    return folder


@pytest.fixture
def words(photos, weights, broken, other_scale, tmp_path):
    """The places that the commands below name."""
    bad_key = tmp_path / "bad_key.yaml"
    bad_key.write_text("model: {scale: 2}\ntrain: {batchsize: 4}\n")
    bad_yaml = tmp_path / "bad.yaml"
    bad_yaml.write_text("model: {scale: 2\ntrain: ]\n")
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(weights.read_bytes()[:-500])
    text = tmp_path / "text.ckpt"
    text.write_text("not weights")
    (tmp_path / "file").write_text("")
    return {
        "photos": photos, "sets": photos.parent, "set": photos.name, "weights": weights,
        "broken": broken, "mixed": other_scale, "bad_key": bad_key, "bad_yaml": bad_yaml,
        "cut": cut, "text": text, "tmp": tmp_path,
    }  # fmt: skip


TRAIN = (
    "--method=teacher --scale=2 --model.n_feats=8 --model.n_resblocks=1 --data.lr_patch=8 "
    "--data_dir={photos} --cache_dir={tmp}/cache --output_dir={tmp}/out --device_target=CPU "
)
EVAL = "--output_dir={tmp}/out --cache_dir={tmp}/cache --device_target=CPU "
EXPORT = "--output_dir={tmp}/out --device_target=CPU "

CASES = [
    # a path that is missing
    ("train", TRAIN + "--data_dir={tmp}/none", "data_dir {tmp}/none does not exist"),
    ("train", TRAIN + "--val_dir={tmp}/none", "val_dir {tmp}/none does not exist"),
    ("train", TRAIN + "--config={tmp}/none.yaml", "no configuration file {tmp}/none.yaml; see"),
    ("train", TRAIN + "--teacher={tmp}/none.ckpt", "no teacher checkpoint {tmp}/none.ckpt; train"),
    ("train", TRAIN + "--output_dir={tmp}/file/run", "cannot write to the output folder {tmp}/fi"),
    ("eval", EVAL + "--ckpt={tmp}/none.ckpt --data_dir={sets} --sets={set}", "{tmp}/none.ckpt"),
    ("eval", EVAL + "--ckpt={weights} --data_dir={sets} --sets=Set99", "no set 'Set99' in {sets}"),
    ("export", EXPORT + "--ckpt={tmp}/none.ckpt", "{tmp}/none.ckpt"),
    # a scale that does not exist, or not here
    ("train", TRAIN + "--scale=5", "command line: model.scale must be 2, 3 or 4, not '5'"),
    ("train", TRAIN + "--scale=4 --data_dir={mixed}", "which does not fit .* at scale 4; check"),
    ("eval", EVAL + "--model=bicubic --data_dir={sets} --sets={set}", "--scale"),
    ("eval", EVAL + "--ckpt={weights} --scale=4 --data_dir={sets} --sets={set}", "x2|scale"),
    # an image that is none
    ("train", TRAIN + "--data_dir={broken}", "{broken}/HR/01.png"),
    ("eval", EVAL + "--ckpt={weights} --data_dir={tmp} --sets=broken", "{broken}/HR/01.png"),
    # a checkpoint of another network, or of none
    ("train", TRAIN + "--teacher={weights} --model.n_feats=16", "holds edsr x2 .* for edsr x2"),
    ("train", TRAIN + "--teacher={weights} --model.n_resblocks=2", "holds edsr x2 .* for edsr x2"),
    ("train", TRAIN + "--teacher={cut}", "{cut}"),
    ("eval", EVAL + "--ckpt={cut} --data_dir={sets} --sets={set}", "{cut}"),
    ("eval", EVAL + "--ckpt={text} --data_dir={sets} --sets={set}", "{text}"),
    ("export", EXPORT + "--ckpt={text}", "{text}"),
    ("export", EXPORT + "--ckpt={weights} --width=0.01", "width|channel"),
    # a key that nobody knows, a value that none may have
    ("train", TRAIN + "--config={bad_key}", "{bad_key}: unknown key train.batchsize; did you"),
    ("train", TRAIN + "--config={bad_yaml}", "{bad_yaml}, line .* is not valid YAML"),
    ("train", TRAIN + "--train.epoch=3", "unknown key train.epoch; did you mean epochs"),
    ("train", TRAIN + "--train.batch_size=0", "train.batch_size must be at least 1"),
    ("train", TRAIN + "--recpie=csd", "unknown argument '--recpie=csd'; see --help"),
    ("eval", EVAL + "--config={bad_key}", "unknown key train.batchsize"),
    ("export", EXPORT + "--config={bad_key}", "unknown key train.batchsize"),
    # a device that is not there
    ("train", TRAIN + "--device_target=Ascend", "device Ascend is not there: MindSpore found CPU"),
    ("train", TRAIN + "--device_target=TPU", "must be one of auto, Ascend, GPU, CPU, not 'TPU'"),
    ("eval", EVAL + "--ckpt={weights} --data_dir={sets} --sets={set} --device_target=GPU",
     "device GPU is not there: MindSpore found CPU; install CUDA"),
    ("export", EXPORT + "--ckpt={weights} --device_target=Ascend", "device Ascend is not there"),
    # a process that msrun did not start
    ("train", TRAIN + "--runtime.distributed=true", "not started by msrun; type `bash scripts/run"),
]  # fmt: skip


@pytest.mark.parametrize(("program", "command", "sentence"), CASES)
def test_one_sentence_and_code_two(
    program, command, sentence, words, call, mindspore_cpu, monkeypatch
):
    monkeypatch.setattr("csd.runtime.available_devices", lambda: ["CPU"])
    plain = {name: re.escape(str(value)) for name, value in words.items()}
    code, said = call(program, *command.format(**words).split())
    assert re.search(sentence.format(**plain), said), said
    assert code == 2
    assert len(said) < 500 and not said.endswith((".", " "))
