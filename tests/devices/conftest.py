import pytest


@pytest.fixture
def pretend(monkeypatch, mindspore_cpu):
    """Function: let the code build its graphs for "Ascend" or "GPU"."""
    from csd.ops import device

    return lambda name: monkeypatch.setattr(device, "target", lambda: name)
