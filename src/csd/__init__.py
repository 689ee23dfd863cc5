"""Contrastive self-distillation for single-image super-resolution, in MindSpore."""

__version__ = "0.1.0"
