"""Metrics, complexity, benchmark sets and tables."""

from csd.evaluation.benchmark import Method, bicubic_method, evaluate, network_methods, validate
from csd.evaluation.complexity import count_parameters, multiply_adds
from csd.evaluation.metrics import psnr_rgb, psnr_y, rgb_to_y, ssim_y
from csd.evaluation.tables import console_table, markdown_table, read_metrics, write_metrics

__all__ = [
    "Method",
    "bicubic_method",
    "console_table",
    "count_parameters",
    "evaluate",
    "markdown_table",
    "multiply_adds",
    "network_methods",
    "psnr_rgb",
    "psnr_y",
    "read_metrics",
    "rgb_to_y",
    "ssim_y",
    "validate",
    "write_metrics",
]
