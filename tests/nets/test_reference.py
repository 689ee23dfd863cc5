"""Every backbone, scale and width against outputs of the paper's own code."""

import json

import numpy as np
import pytest

NETS = [(name, scale) for name in ("edsr", "rcan", "carn") for scale in (2, 3, 4)]


@pytest.mark.parametrize(("name", "scale"), NETS)
def test_output_agrees(name, scale, reference, mindspore_cpu):
    import mindspore as ms

    from csd.checkpoints import load_csd_state
    from csd.nets import create_model, extract_student

    hyper = json.loads((reference / "config.json").read_text())["models"][f"{name}_x{scale}"]
    data = np.load(reference / f"{name}_x{scale}.npz")
    net = create_model(name, scale=scale, **hyper)
    state = {k.removeprefix("param/"): data[k] for k in data.files if k.startswith("param/")}
    load_csd_state(net, state)
    x = ms.Tensor(data["input"])
    for width in (1, 0.5, 0.25):
        expected = data[f"output_{width}"]
        np.testing.assert_allclose(net(x, float(width)).asnumpy(), expected, rtol=0, atol=1e-3)
        dense = extract_student(net, float(width))
        np.testing.assert_allclose(dense(x).asnumpy(), expected, rtol=0, atol=1e-3)
