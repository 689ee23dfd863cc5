"""runtime.profile_steps: which steps MindSpore's profiler sees, and where its files go."""

import numpy as np
import pytest

from csd.errors import InputError


class FakeProfiler:
    def __init__(self, said, **options):
        self.said = said
        said.append(options)

    def start(self):
        self.said.append("start")

    def stop(self):
        self.said.append("stop")


@pytest.fixture
def watched(monkeypatch, tmp_path):
    """Function: what happens, in order, while `count` of `steps` steps are profiled."""
    from mindspore import Tensor

    from csd.training import profile

    said = []
    monkeypatch.setattr(profile.profiler, "profile", lambda **opt: FakeProfiler(said, **opt))
    monkeypatch.setattr(profile.profiler, "tensorboard_trace_handler", lambda folder: folder)

    def watch(steps, count):
        def outputs():
            for step in range(1, steps + 1):
                said.append(step)
                yield Tensor(np.float32(step))

        got = [float(x.asnumpy()) for x in profile.profiled(outputs(), tmp_path / "p", count)]
        assert got == list(range(1, steps + 1))
        return said

    return watch


def test_steps_behind_the_first_ten(watched, tmp_path):
    options = {"start_profile": False, "on_trace_ready": str(tmp_path / "p")}
    assert watched(15, 3) == [*range(1, 11), options, "start", 11, 12, 13, "stop", 14, 15]


def test_more_steps_than_there_are(watched):
    assert watched(12, 9)[-4:] == ["start", 11, 12, "stop"]


def test_none(watched):
    assert watched(12, 0) == list(range(1, 13))


def test_too_short_a_run(settings, run):
    with pytest.raises(InputError, match="profile_steps begins behind 10 steps and the run has 10"):
        run(settings("--runtime.profile_steps=2", "--train.epochs=1", "--train.steps_per_epoch=10"))


@pytest.mark.slow
def test_files_of_the_framework(settings, run):
    """On the CPU the framework's own profiler writes the operators' times below the run folder."""
    folder = run(settings("--runtime.profile_steps=2"))
    files = [path for path in (folder / "profile").rglob("*") if path.is_file()]
    (table,) = [path for path in files if path.name == "cpu_op_type_info_0.csv"]
    assert "Conv2D" in table.read_text()
    assert any(path.name == "trace_view.json" for path in files)
