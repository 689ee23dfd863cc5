"""The contrastive distance of one layer as one pass over memory, for the CPU.

The sum over K negatives of |student - negative| never exists as a tensor: a block of positions is
read once per image and negative while it is in the cache. What the backward pass needs is the
sum over negatives of the sign of (student - negative), a byte a position; the features of the
negatives are free once the forward pass is done.
"""

import ctypes
import gc
import mmap
import threading
from functools import lru_cache

import numpy as np

MAX_NEGATIVES = 127  # the sum of signs is kept in a signed byte
_BLOCK = 2048  # positions; a block of student, teacher, negative and sums stays in the first cache


# By thread. Not threading.local, which forgets a framework's thread between two calls.
_memory: dict[tuple[int, str], np.ndarray] = {}
_kernel_threads: set[int] = set()


def _reused(name: str, size: int, dtype: type) -> np.ndarray:
    """`size` numbers in the same memory in every call: fresh pages cost more than filling them."""
    key = threading.get_ident(), name
    if key not in _memory or _memory[key].size < size:
        _memory[key] = np.empty(size, dtype)
    return _memory[key][:size]


def _release(*copies: np.ndarray) -> None:
    """Give back the memory behind the framework's copies of a call's inputs; they read 0 after it.

    The framework copies what it hands to Python, into the same memory in every call, and keeps it
    between the calls: 0.9 GiB of a step of 16 patches of 192 x 192. Nobody reads it again before
    the next call fills it.
    """
    for copy in copies:
        start = -(-copy.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
        size = (copy.ctypes.data + copy.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - start
        if size > 0:  # a failure is no more than memory that stays in use
            for advice in (mmap.MADV_DONTNEED, mmap.MADV_HUGEPAGE):  # the next call fills it faster
                _libc().madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), advice)


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _enter() -> None:
    """To be called first by what the framework calls."""
    if (thread := threading.get_ident()) != threading.main_thread().ident:
        _kernel_threads.add(thread)


def _postpone_collection(phase: str, info: dict) -> None:
    """Called as garbage collection begins and ends; leaves nothing to collect to such a thread.

    Behind an operator written in Python is the one thread that ends the framework's graphs, too.
    Should the collector find a graph that nobody uses and free it there, it waits for itself.
    """
    if threading.get_ident() in _kernel_threads:
        if phase == "start":
            gc.freeze()
        else:
            gc.unfreeze()


@lru_cache(maxsize=1)
def kernels():
    """Compiled at their first call, 2.4 s in all -> (forward, backward).

    In every process anew: the index of numba's cache on disk is a pickle, so whoever can write to
    that folder has code run here, and a truncated one ends every run until somebody removes it.
    """
    import numba

    gc.callbacks.append(_postpone_collection)
    fast = {"reassoc", "contract", "nsz"}  # may reorder sums; must keep NaN and infinity

    @numba.njit(fastmath=fast, parallel=True, nogil=False)
    def sum_and_signs(student, negatives, negative_sign):
        """student (B, M), negatives (K, M) float32 -> float64 sum; fills int8 (B, M)."""
        batch, size = student.shape
        k_total = negatives.shape[0]
        blocks = (size + _BLOCK - 1) // _BLOCK
        partial = np.zeros(blocks, np.float64)
        for block in numba.prange(blocks):
            low = block * _BLOCK
            high = min(size, low + _BLOCK)
            width = high - low
            signs = np.empty(_BLOCK, np.float32)
            away = 0.0
            for b in range(batch):
                s = student[b, low:high]
                for i in range(width):
                    signs[i] = 0.0
                for k in range(k_total):
                    n = negatives[k, low:high]
                    total = np.float32(0.0)
                    for i in range(width):
                        d = s[i] - n[i]
                        total += abs(d)
                        signs[i] += np.float32(d > 0) - np.float32(d < 0)
                    away += total
                for i in range(width):
                    negative_sign[b, low + i] = np.int8(signs[i])
            partial[block] = away
        return partial.sum()

    @numba.njit(parallel=True, nogil=False)
    def weighted_signs(positive_sign, negative_sign, a, b, out):
        """out = a * positive_sign + b * negative_sign, flat arrays."""
        for i in numba.prange(out.size):
            out[i] = a * np.float32(positive_sign[i]) + b * np.float32(negative_sign[i])

    return sum_and_signs, weighted_signs


def forward(student: np.ndarray, negatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of absolute differences over all pairs, and the sums of their signs over the negatives.

    Args:
        student: (B, C, H, W) float32; negatives: (K, C, H, W) float32, K at most 127.

    Returns:
        float32 (1,), and int8 (B, C, H, W). The thread's next call overwrites the signs; the
        framework copies them at once.
    """
    _enter()
    batch = student.shape[0]
    signs = _reused("signs", student.size, np.int8).reshape(batch, -1)
    total = kernels()[0](
        np.ascontiguousarray(student, np.float32).reshape(batch, -1),
        np.ascontiguousarray(negatives, np.float32).reshape(len(negatives), -1),
        signs,
    )
    return np.array([total], np.float32), signs.reshape(student.shape)


def backward(positive: np.ndarray, negative: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """factors[0] * positive + factors[1] * negative, float32 (B, C, H, W).

    The thread's next call overwrites the result, as in `forward`.
    """
    _enter()
    out = _reused("gradient", positive.size, np.float32)
    a, b = np.float32(factors[0]), np.float32(factors[1])
    kernels()[1](positive.reshape(-1), negative.reshape(-1), a, b, out)
    return out.reshape(positive.shape)


def forward_and_release(student: np.ndarray, negatives: np.ndarray) -> tuple:
    """`forward` for the framework: the arrays are its own copies."""
    result = forward(student, negatives)
    _release(student, negatives)
    return result


def backward_and_release(
    positive: np.ndarray, negative: np.ndarray, factors: np.ndarray
) -> np.ndarray:
    """`backward` for the framework, as above."""
    result = backward(positive, negative, factors)
    _release(positive, negative)
    return result
