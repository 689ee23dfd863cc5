"""Memory of the contrastive distance does not grow with negatives x batch."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from csd import runtime
runtime.setup("CPU")
import mindspore as ms
from csd.losses import ContrastiveDistance
k, implementation = int(sys.argv[1]), sys.argv[2]
rng = np.random.default_rng(0)
t, s = (ms.Tensor(x) for x in rng.normal(size=(2, 16, 16, 64, 64)).astype(np.float32))
n = ms.Tensor(rng.normal(size=(k, 16, 64, 64)).astype(np.float32))
cell = ContrastiveDistance([1.0], implementation)
class One(ms.nn.Cell):
    def __init__(self):
        super().__init__()
        self.cell = cell
    def construct(self, s, t, n):
        return self.cell((t,), (s,), (n,))
step = ms.value_and_grad(One())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
step(s, t, n)[1].asnumpy()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("implementation", ["fused", "portable"])
def test_growth_with_negatives(implementation, tmp_path):
    """16 images x 16 negatives of these features would be 256 MiB; growth must be far below."""
    program = tmp_path / "program.py"  # a graph is compiled from source text in a file
    program.write_text(PROGRAM)
    peak = {}
    for k in (1, 16):
        command = [sys.executable, str(program), str(k), implementation]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peak[k] = int(done.stdout.split()[-1]) / 1024  # MiB
    assert peak[16] - peak[1] < 64
