"""Memory of the contrastive distance does not grow with negatives x batch."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from csd import runtime
runtime.setup("CPU")
import mindspore as ms
from csd.losses import ContrastiveDistance
k, implementation = int(sys.argv[1]), sys.argv[2]
rng = np.random.default_rng(0)
t, s = (ms.Tensor(rng.random((16, 16, 128, 128), np.float32)) for _ in range(2))
n = ms.Tensor(rng.random((k, 16, 128, 128), np.float32))
cell = ContrastiveDistance([1.0], implementation)
class One(ms.nn.Cell):
    def __init__(self):
        super().__init__()
        self.cell = cell
    def construct(self, s, t, n):
        return self.cell((t,), (s,), (n,))
step = ms.value_and_grad(One())
def kilobytes(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1])
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: features are not counted
before = kilobytes("VmRSS")
for _ in range(2):
    step(s, t, n)[1].asnumpy()
print(kilobytes("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["fused", "portable"])
def test_growth_with_negatives(implementation, tmp_path):
    """Features of 16 MiB; 15 more negatives for each image would be 240 MiB."""
    program = tmp_path / "program.py"  # a graph is compiled from source text in a file
    program.write_text(PROGRAM)
    peak = {}
    for k in (1, 16):
        command = [sys.executable, str(program), str(k), implementation]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peak[k] = int(done.stdout.split()[-1]) / 1024  # MiB
    # The fused form is given a copy of the negatives themselves, 1 MiB each.
    copies = 15 if implementation == "fused" else 0
    assert peak[16] - copies < 1.10 * peak[1], peak
