"""Every file that holds weights: our checkpoints, PyTorch, safetensors, MindSpore, HDF5."""

from csd.weights.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from csd.weights.network import load_network
from csd.weights.state import load_csd_state, network_state
from csd.weights.vgg import VGGWeights, read_vgg

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
