"""The former name of `csd.checkpoints`, for programs that import it."""

from csd.checkpoints import (
    Checkpoint,
    VGGWeights,
    load_checkpoint,
    load_csd_state,
    load_network,
    network_state,
    read_vgg,
    save_checkpoint,
)

__all__ = [
    "Checkpoint",
    "VGGWeights",
    "load_checkpoint",
    "load_csd_state",
    "load_network",
    "network_state",
    "read_vgg",
    "save_checkpoint",
]
