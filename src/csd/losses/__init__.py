"""Reconstruction and contrastive losses, and the objectives made of them."""

from csd.losses.contrastive import ContrastiveDistance, check_negatives, contrastive_distance
from csd.losses.objective import (
    CSDObjective,
    ReconstructionObjective,
    check_width_weights,
    sandwich,
)

__all__ = [
    "CSDObjective",
    "ContrastiveDistance",
    "ReconstructionObjective",
    "check_negatives",
    "check_width_weights",
    "contrastive_distance",
    "sandwich",
]
