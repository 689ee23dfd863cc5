"""The compiled kernels: nothing of them is read from, or written to, a disk."""

import os
import subprocess
import sys
from pathlib import Path

from csd.ops import contrastive_kernel

ROOT = Path(__file__).resolve().parents[2]

# Sums and signs by hand: one image, two negatives, four positions.
WORK = """
from csd import runtime
runtime.prepare_environment()
import numpy as np
from csd.ops import contrastive_kernel
row = lambda *values: np.array(values, np.float32).reshape(1, 1, 2, 2)
student, positive = row(1, 2, 3, 4), row(1, 0, -1, -1).astype(np.int8)
negatives = np.concatenate([row(2, 2, 2, 2), row(0, 0, 0, 9)])
total, negative = contrastive_kernel.forward(student, negatives)
assert total.tolist() == [15.0], total
assert negative.ravel().tolist() == [0, 1, 2, 0], negative
gradient = contrastive_kernel.backward(positive, negative, np.array([2.0, 0.5]))
assert gradient.ravel().tolist() == [2.0, 0.5, -1.0, -2.0], gradient
print("right")
"""


def test_the_kernels_are_right_and_leave_no_cache_on_the_disk(tmp_path):
    """numba's index of compiled code is a pickle: one that somebody else wrote is run when read."""
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "NUMBA_CACHE_DIR": str(tmp_path / "numba"),
        "PYTHONPATH": str(ROOT / "src"),
    }
    done = subprocess.run(
        [sys.executable, "-c", WORK],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.stdout == "right\n", done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_kernels_read_no_cache():
    from numba.core.caching import NullCache

    for function in contrastive_kernel.kernels():
        assert isinstance(function._cache, NullCache)
