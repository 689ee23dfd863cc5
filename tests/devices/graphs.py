"""Training steps compiled for a device that is not there: front end and type inference alone."""

from collections import Counter

import numpy as np

from benchmarks.graph import Node

METHODS = ("teacher", "student", "joint", "csd")
LEVELS = ("O0", "auto", "O2", "O3")
OPTIONS = ("plain", "clipping", "dynamic", "cropped")
BACKBONES = {
    "edsr": {"n_feats": 4, "n_resblocks": 1, "res_scale": 0.1},
    "rcan": {"n_feats": 4, "n_resgroups": 1, "n_resblocks": 1, "reduction": 2},
    "carn": {"n_feats": 4},
    "msrresnet": {"n_feats": 4, "n_resblocks": 1},
}
VGG = (4, 4, "M", 8, "M", 8, "M", 8, "M", 8)
PATCH, SCALE, BATCH, NEGATIVES, CROP = 16, 2, 2, 2, 16


def create_step(method: str, backbone: str, level: str, option: str = "plain"):
    """The training step of a tiny network, with the branches of the device that is pretended."""
    from mindspore import nn

    from csd.config import defaults
    from csd.losses import CSDObjective, ReconstructionObjective
    from csd.nets import VGGEncoder, create_model
    from csd.ops import precision
    from csd.training.schedule import LearningRate
    from csd.training.step import BicubicUpscale, CSDTrainOneStep, create_loss_scaler

    net = create_model(backbone, scale=SCALE, **BACKBONES[backbone])
    if method == "csd":
        encoder = VGGEncoder(VGG)
        encoder.load_random_weights()
        objective = CSDObjective(net, encoder, student_width=0.5)
    else:
        students = 0.5 if method == "joint" else ()
        objective = ReconstructionObjective(net, student_width=students)
    precision.set_level(objective, level)
    optim = defaults().optim
    optim.update(schedule="step" if method == "csd" else "cosine", warmup=500)
    step = CSDTrainOneStep(
        objective,
        nn.Adam(net.trainable_params(), LearningRate(optim, 400, 1000)),
        upscale=BicubicUpscale(PATCH, SCALE) if method == "csd" else None,
        loss_scaler=create_loss_scaler("dynamic" if option == "dynamic" else "none", "CPU"),
        clip_norm=1.0 if option == "clipping" else 0.0,
    )
    return step.set_train()


def batch(method: str, option: str = "plain"):
    """uint8 images, and where the option needs one a window, as the pipeline gives them."""
    import mindspore as ms

    rng = np.random.default_rng(0)
    shapes = [(BATCH, 3, PATCH, PATCH), (BATCH, 3, SCALE * PATCH, SCALE * PATCH)]
    if method == "csd":
        shapes.append((NEGATIVES, 3, PATCH, PATCH))
    images = [ms.Tensor(rng.integers(0, 256, shape, dtype=np.uint8)) for shape in shapes]
    cropped = method == "csd" and option == "cropped"
    return (
        [*images, ms.Tensor([range(3, 3 + CROP), range(5, 5 + CROP)], ms.int32)]
        if cropped
        else images
    )


def count(nodes: list[Node]) -> Counter:
    """Operators by name; constants are none."""
    return Counter(node.primitive for node in nodes if node.primitive != "Constant")
