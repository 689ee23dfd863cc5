"""Metrics, whole-image restoration, benchmark tables and reports."""

from csd.evaluation.benchmark import Method, bicubic_method, evaluate, network_methods, validate
from csd.evaluation.compare import compare_picture, write_comparison
from csd.evaluation.complexity import count_parameters, multiply_adds
from csd.evaluation.metrics import psnr_rgb, psnr_y, rgb_to_y, ssim_y
from csd.evaluation.photo import (
    Photo,
    read_photo,
    restore_photo,
    tile_plan,
    write_photo,
)
from csd.evaluation.report import ReportRun, load_run, write_report
from csd.evaluation.restore import (
    DEFAULT_OVERLAP,
    DEFAULT_TILE,
    count_tiles,
    make_runner,
    restore,
    run_ensemble,
    to_uint8,
    to_uint16,
)
from csd.evaluation.tables import console_table, markdown_table, read_metrics, write_metrics
from csd.evaluation.widths import width_curve, write_width_curve

__all__ = [
    "DEFAULT_OVERLAP",
    "DEFAULT_TILE",
    "Method",
    "Photo",
    "ReportRun",
    "bicubic_method",
    "compare_picture",
    "console_table",
    "count_parameters",
    "count_tiles",
    "evaluate",
    "load_run",
    "make_runner",
    "markdown_table",
    "multiply_adds",
    "network_methods",
    "psnr_rgb",
    "psnr_y",
    "read_metrics",
    "read_photo",
    "restore",
    "restore_photo",
    "rgb_to_y",
    "run_ensemble",
    "ssim_y",
    "tile_plan",
    "to_uint8",
    "to_uint16",
    "validate",
    "width_curve",
    "write_comparison",
    "write_metrics",
    "write_photo",
    "write_report",
    "write_width_curve",
]
