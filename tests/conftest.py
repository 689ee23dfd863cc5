"""What tests share: quiet MindSpore on the CPU, reference files, photographs where present."""

import os
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of the reference networks, losses and training steps (npz, json)."""
    return ROOT / "tests" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with `benchmark/` and `photos/`; CSD_TEST_DATA names another one."""
    folder = Path(os.environ.get("CSD_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no benchmark photographs at {folder}; set CSD_TEST_DATA to their folder")
    return folder


@pytest.fixture
def mindspore_cpu():
    """MindSpore in graph mode on the CPU, seeded; tests that build networks ask for it."""
    from csd import runtime

    runtime.setup(device_target="CPU", seed=1)
