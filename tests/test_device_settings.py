"""What is set for each chip, and that the framework has the functions that are called."""

import inspect
import re
from types import SimpleNamespace

import pytest

from csd import runtime
from csd.config import load_config
from csd.errors import InputError
from csd.settings import PRECISION_MODES

FIRST = ["Ascend910", "Ascend910A", "Ascend910ProA", "Ascend910PremiumA", "Ascend910ProB",
         "Ascend910B"]  # fmt: skip
LATER = ["Ascend910B1", "Ascend910B2", "Ascend910B2C", "Ascend910B3", "Ascend910B4",
         "Ascend910B4-1", "Ascend910_9391", "Ascend910_9362", "Ascend310P3", ""]  # fmt: skip
NO_HF32 = [("conv_allow_hf32", False), ("matmul_allow_hf32", False)]


class Recorder:
    """Answers every attribute with a function that writes down how it is called."""

    def __init__(self, calls):
        self.calls = calls

    def __getattr__(self, name):
        return lambda value: self.calls.append((name, value))


@pytest.fixture
def configured(monkeypatch):
    """Function: the calls that `configure_device` makes, on a chip of this name."""
    import mindspore as ms
    from mindspore import hal

    calls = []
    part = SimpleNamespace(op_precision=Recorder(calls))
    monkeypatch.setattr(ms, "device_context", SimpleNamespace(ascend=part, gpu=part))
    monkeypatch.setattr(ms, "set_context", lambda **given: calls.append(given))

    def configure(target, chip="", jit_level="default", precision_mode="default"):
        monkeypatch.setattr(hal, "get_device_name", lambda index, target: chip)
        runtime.configure_device(target, jit_level, precision_mode)
        return calls

    return configure


@pytest.mark.parametrize("chip", FIRST)
def test_first_generation(configured, chip):
    """Kernel by kernel, and not force_fp16; its chips have no HF32 to switch off."""
    kept = ("precision_mode", "must_keep_origin_dtype")
    assert configured("Ascend", chip) == [kept, {"jit_config": {"jit_level": "O0"}}]


@pytest.mark.parametrize("chip", LATER)
def test_later_chips_keep_what_the_framework_chooses(configured, chip):
    assert configured("Ascend", chip) == NO_HF32


def test_what_is_set_wins(configured):
    mode = ("precision_mode", "force_fp16")
    asked = {"jit_level": "O2", "precision_mode": "force_fp16"}
    jit = {"jit_config": {"jit_level": "O2"}}
    assert configured("Ascend", "Ascend910A", **asked) == [mode, jit]
    assert configured("Ascend", "Ascend910B3", **asked)[2:] == [*NO_HF32, mode, jit]


def test_gpu_and_cpu(configured):
    no_tf32 = [("conv_allow_tf32", False), ("matmul_allow_tf32", False)]
    assert configured("GPU") == no_tf32
    assert configured("CPU") == no_tf32  # nothing more
    assert configured("CPU", jit_level="O1")[2:] == [{"jit_config": {"jit_level": "O1"}}]


@pytest.mark.parametrize(
    ("answer", "found"),
    [(SimpleNamespace(total_memory=64 << 30), 64 << 30), (SimpleNamespace(total_memory=0), 0),
     (None, 0), (RuntimeError("no driver"), 0), (ValueError("no plug-in"), 0)],
)  # fmt: skip
def test_memory_of_a_device(answer, found, monkeypatch, mindspore_cpu):
    from mindspore import hal

    def properties(index, target):
        assert (index, target) == (0, "GPU")
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(hal, "get_device_properties", properties)
    assert runtime.device_memory("GPU") == found
    assert runtime.device_memory("CPU") == runtime.machine_memory() > 0


def test_memory_of_a_device_that_is_not_there(mindspore_cpu):
    assert runtime.device_memory("Ascend") == runtime.device_memory("GPU") == 0


def test_a_chip_without_a_name(mindspore_cpu):
    """The framework raises where there is no such device; nothing is set for it then."""
    assert runtime.chip_name() == ""


@pytest.mark.parametrize(
    ("jit_level", "precision_mode", "words"),
    [
        ("O2", "default", "runtime.jit_level=O2 is for Ascend, and the device is CPU"),
        ("O0", "force_fp32", "runtime.precision_mode=force_fp32 is for Ascend, and the device is"),
    ],
)
def test_settings_of_another_device(jit_level, precision_mode, words):
    with pytest.raises(InputError, match=words):
        runtime.setup("CPU", jit_level=jit_level, precision_mode=precision_mode)
    runtime.check_device_keys("Ascend", jit_level, precision_mode)


def test_keys():
    config = load_config("train", ["--runtime.jit_level=O2", "--runtime.precision_mode=force_fp32"])
    assert (config.runtime.jit_level, config.runtime.precision_mode) == ("O2", "force_fp32")
    with pytest.raises(InputError, match="precision_mode must be one of default, force_fp16"):
        load_config("train", ["--runtime.precision_mode=fp16"])


def test_functions_of_the_installed_framework():
    """Names and single arguments; the modes are those that its own check lets pass."""
    from mindspore import hal
    from mindspore.device_context.ascend import op_precision as ascend
    from mindspore.device_context.gpu import op_precision as gpu

    for function, argument in (
        (ascend.precision_mode, "mode"),
        (ascend.conv_allow_hf32, "value"),
        (ascend.matmul_allow_hf32, "value"),
        (gpu.conv_allow_tf32, "value"),
        (gpu.matmul_allow_tf32, "value"),
    ):
        assert list(inspect.signature(function).parameters) == [argument]
    assert list(inspect.signature(hal.get_device_name).parameters)[:2] == [
        "device_id",
        "device_target",
    ]
    checked = inspect.getsource(ascend.precision_mode).split('"""')[-1]
    listed = re.search(r"supported_modes = \[(.*?)\]", checked, re.DOTALL).group(1)
    assert set(re.findall(r"\w+", listed)) == set(PRECISION_MODES)


@pytest.mark.parametrize(
    ("target", "jit_level", "wanted", "sinks"),
    [
        ("CPU", "default", "default", False),
        ("GPU", "default", "default", True),
        ("GPU", "default", "false", False),
        ("Ascend", "default", "default", False),
        ("Ascend", "O0", "default", False),
        ("Ascend", "O2", "default", True),
        ("Ascend", "O0", "true", True),
    ],
)
def test_data_sink(target, jit_level, wanted, sinks):
    from csd.config import defaults
    from csd.training import run

    config = defaults()
    config.runtime.update(jit_level=jit_level, data_sink=wanted, device_target=target)
    assert run.sinks(config) is sinks


def test_validation_needs_more_than_one_size(tmp_path):
    from csd.settings import TRAIN
    from csd.training.build import check_settings

    options = ["--method=teacher", "--runtime.jit_level=O2"]
    with pytest.raises(InputError, match=r"jit_level=O2 takes one size .* train.validate_every=0"):
        check_settings(load_config(TRAIN, options))
    check_settings(load_config(TRAIN, [*options, "--train.validate_every=0"]))
