"""Reconstruction and contrastive losses, and the objectives made of them."""

from csd.losses.contrast import ContrastiveDistance, check_negatives, contrastive_distance
from csd.losses.objective import CSDObjective, ReconstructionObjective, l1

__all__ = [
    "CSDObjective",
    "ContrastiveDistance",
    "ReconstructionObjective",
    "check_negatives",
    "contrastive_distance",
    "l1",
]
