"""Every file that holds weights: our checkpoints, PyTorch, safetensors, MindSpore, HDF5."""

from csd.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from csd.checkpoints.network import load_network
from csd.checkpoints.state import load_csd_state, network_state
from csd.checkpoints.vgg import VGGWeights, read_vgg

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
