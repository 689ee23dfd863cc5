"""Images on disk to batches: readers, MATLAB's bicubic, the image cache, the training stream."""

from csd.data.cached_pairs import CachedPairs, cache_pairs
from csd.data.decode import image_size
from csd.data.images import read_image, write_png
from csd.data.imresize import imresize_bicubic, imresize_pillow, modcrop, resize_matrix
from csd.data.layouts import Pair, benchmark_pairs, check_pair, detect_layout, find_pairs, load_pair
from csd.data.pipeline import Batches, draw_negatives, sample_batch, train_dataset, window_dataset

__all__ = [
    "Batches",
    "CachedPairs",
    "Pair",
    "benchmark_pairs",
    "cache_pairs",
    "check_pair",
    "detect_layout",
    "draw_negatives",
    "find_pairs",
    "image_size",
    "imresize_bicubic",
    "imresize_pillow",
    "load_pair",
    "modcrop",
    "read_image",
    "resize_matrix",
    "sample_batch",
    "train_dataset",
    "window_dataset",
    "write_png",
]
