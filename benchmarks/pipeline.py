"""Training pairs per second from disk to batch, and memory: ours against a PyTorch DataLoader.

    python benchmarks/pipeline.py [--data_dir PHOTOS] [--quick] [--output FILE.md]

Two sizes of images: those of --data_dir (or generated ones, 1024 x 768) and generated ones of
DIV2K's size, 2040 x 1356. Three readers, batch 16, LR patch 48, flips and transposition:

- ours, through `mindspore.dataset`;
- PyTorch over PNG: decode the same HR files, and LR files, crop;
- PyTorch over arrays: one memory-mapped .npy an image, HR and LR, opened for each crop.

Cold is one pass, a crop of every image, after its files were dropped from the system's file cache.
Warm is a long stream out of the file cache; PyTorch's DataLoader runs with 0 and with 2 worker
processes, and the faster of the two counts. Filling the image cache, which happens once for a
folder of images, is counted on its own. All are medians of several repeats.

Memory is that of a process which streams from 50 and from 500 images: `anonymous` is its own,
`mapped` are pages of files.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")

BATCH, LR_PATCH = 16, 48


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_dir", type=Path, help="folder of about 50 HR images")
    parser.add_argument("--work_dir", type=Path, help="scratch space, some GB (default: temporary)")
    parser.add_argument("--quick", action="store_true", help="fewer images and repeats")
    parser.add_argument("--output", type=Path, help="also write the tables to this file")
    parser.add_argument("--memory_of", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        return report_memory(args.memory_of)
    with tempfile.TemporaryDirectory(dir=args.work_dir, prefix="csd-pipeline-") as scratch:
        text = speed_table(args, Path(scratch)) + "\n" + memory_table(args, Path(scratch))
    print(text)
    if args.output:
        args.output.write_text(text + "\n")
    return 0


def speed_table(args, scratch: Path) -> str:
    from csd.data import find_pairs

    count, repeats = (8, 1) if args.quick else (40, 3)
    sources = {
        "2040 x 1356": generate(scratch / "div2k", count, 2040, 1356),
        "1024 px": args.data_dir or generate(scratch / "photos", count, 1024, 768),
    }
    lines = [
        f"Pairs per second, cold / warm; batch {BATCH}, LR patch {LR_PATCH};"
        f" {os.cpu_count()} cores; medians of {repeats}.",
        "",
        "| images | scale | decoding, images/s | ours | PyTorch, PNG | PyTorch, arrays"
        " | warm: ours / PNG | ours / arrays |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for label, folder in sources.items():
        for scale in (2, 4):
            pairs = find_pairs(folder, scale, split="all")[:count]
            place = scratch / f"{label}-{scale}"
            built, *ours = measure_ours(pairs, scale, place / "cache", repeats)
            png, arrays = measure_torch(pairs, scale, place / "torch", repeats)
            cells = " | ".join(f"{cold:,.0f} / {warm:,.0f}" for cold, warm in (ours, png, arrays))
            lines.append(
                f"| {label} | x{scale} | {built:.1f} | {cells} | {ours[1] / png[1]:.0f}"
                f" | {ours[1] / arrays[1]:.1f} |"
            )
            print(lines[-1], file=sys.stderr)
            shutil.rmtree(place)
    return "\n".join(lines) + "\n"


def generate(folder: Path, count: int, width: int, height: int) -> Path:
    """Images of scikit-image, each cut and enlarged differently, with a little noise."""
    import cv2
    import numpy as np
    from skimage import data

    folder.mkdir(parents=True)
    originals = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    rng = np.random.default_rng(0)
    for number in range(count):
        image = originals[number % len(originals)]
        h, w = image.shape[:2]
        top, left = rng.integers(0, h // 3), rng.integers(0, w // 3)
        crop = image[top : top + h * 2 // 3, left : left + w * 2 // 3]
        large = cv2.resize(crop, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
        large += rng.integers(-3, 4, large.shape, np.int16)
        png = large.clip(0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:04d}.png"), png[:, :, ::-1])
    return folder


def pairs_per_second(batches, skip: int) -> float:
    """Rate after the first `skip` batches: starting threads and processes is not counted."""
    seen, start = 0, 0.0
    for number, row in enumerate(batches):
        if number == skip:
            start = time.perf_counter()
        elif number > skip:
            seen += len(row[0])
    return seen / (time.perf_counter() - start)


def measure_ours(pairs, scale: int, cache: Path, repeats: int) -> tuple[float, float, float]:
    """(images decoded into the cache a second, pairs a second cold, pairs a second warm)."""
    from csd.data import Batches, cache_pairs, sample_batch, train_dataset

    building, cold = [], []
    for number in range(repeats):
        start = time.perf_counter()
        cached = cache_pairs(pairs, scale, cache / str(number), progress=False)
        building.append(len(pairs) / (time.perf_counter() - start))

    def stream(steps: int, seed: int):
        batches = Batches(lr_patch=LR_PATCH, batch_size=BATCH, seed=seed, negatives=10)
        data = train_dataset(cached, batches, steps=steps)
        return data.create_tuple_iterator(num_epochs=1)

    next(iter(stream(1, 0)))  # loads the framework
    passes = -(-len(pairs) // BATCH)
    for seed in range(repeats):
        drop_from_file_cache(cache.rglob("*.npy"))
        start = time.perf_counter()
        for step in range(passes):
            batches = Batches(lr_patch=LR_PATCH, batch_size=BATCH, seed=seed)
            sample_batch(cached, batches, step=step, consumed=step * BATCH)
        cold.append(passes * BATCH / (time.perf_counter() - start))
    warm = [pairs_per_second(stream(500, seed), 20) for seed in range(2, 2 + repeats)]
    return tuple(statistics.median(rates) for rates in (building, cold, warm))


def drop_from_file_cache(files) -> None:
    """Without the right to drop all caches: the pages of these files alone."""
    for path in files:
        with Path(path).open("rb") as file:
            os.fsync(file.fileno())  # a page that is not on the disk yet stays
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure_torch(
    pairs, scale: int, folder: Path, repeats: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The plain PyTorch way, written as well as a user would: workers, uint8, one crop a sample.

    Returns (cold, warm) over PNG and over arrays.
    """
    import cv2
    import numpy as np
    import torch
    from torch.utils.data import DataLoader, Dataset

    from csd.data import load_pair

    cv2.setNumThreads(0)
    folder.mkdir(parents=True)
    pngs, arrays = [], []
    for number, pair in enumerate(pairs):
        hr, lr = load_pair(pair, scale)
        png = folder / f"{number}.png"
        cv2.imwrite(str(png), lr[:, :, ::-1])
        pngs.append((str(pair.hr), str(png)))
        arrays.append((folder / f"{number}hr.npy", folder / f"{number}lr.npy"))
        for image, path in zip((hr, lr), arrays[-1], strict=True):
            np.save(path, image)

    def read_png(path: str):
        return cv2.imread(path)[:, :, ::-1]

    def read_array(path: Path):
        return np.load(path, mmap_mode="r")

    class Crops(Dataset):
        """Crops of the images in turn; an image is opened anew for each."""

        def __init__(self, read, files, count):
            self.read, self.files, self.count = read, files, count

        def __len__(self):
            return self.count

        def __getitem__(self, index):
            rng = np.random.default_rng(index)
            hr, lr = (self.read(file) for file in self.files[index % len(self.files)])
            top = rng.integers(lr.shape[0] - LR_PATCH + 1)
            left = rng.integers(lr.shape[1] - LR_PATCH + 1)
            turn = rng.integers(2, size=3)
            out = []
            for image, s in ((lr, 1), (hr, scale)):
                size = LR_PATCH * s
                crop = image[top * s : top * s + size, left * s : left * s + size]
                if turn[0]:
                    crop = crop[::-1]
                if turn[1]:
                    crop = crop[:, ::-1]
                crop = crop.transpose(2, 1, 0) if turn[2] else crop.transpose(2, 0, 1)
                out.append(torch.from_numpy(np.ascontiguousarray(crop)))
            return tuple(out)

    def rates(read, files, count: int) -> tuple[float, float]:
        passes = -(-len(files) // BATCH)
        cold = []
        for _ in range(repeats):
            drop_from_file_cache(path for names in files for path in names)
            start = time.perf_counter()
            for _ in DataLoader(Crops(read, files, passes * BATCH), BATCH):
                pass
            cold.append(passes * BATCH / (time.perf_counter() - start))
        warm = [
            statistics.median(
                pairs_per_second(
                    DataLoader(Crops(read, files, count * BATCH), BATCH, num_workers=workers), 4
                )
                for _ in range(repeats)
            )
            for workers in (0, 2)
        ]
        return statistics.median(cold), max(warm)

    return rates(read_png, pngs, 16), rates(read_array, arrays, 60)


def memory_table(args, scratch: Path) -> str:
    counts = (8, 40) if args.quick else (50, 500)
    given = sorted(args.data_dir.rglob("*.png")) if args.data_dir else []
    given = given or sorted(generate(scratch / "few", 8 if args.quick else 50, 1024, 768).iterdir())
    lines = [
        f"Memory while streaming x4 pairs from 1024-pixel images, {BATCH} a batch, MiB.",
        "",
        "| images | cache on disk | anonymous | mapped, peak | total, peak |",
        "|---|---|---|---|---|",
    ]
    for count in counts:
        folder = scratch / f"{count}-images"
        folder.mkdir()
        for number in range(count):
            source = given[number % len(given)]
            (folder / f"{number:04d}{source.suffix}").write_bytes(source.read_bytes())
        command = [sys.executable, __file__, "--memory_of", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        lines.append(f"| {count} | {' | '.join(done.stdout.split()[-4:])} |")
        print(lines[-1], file=sys.stderr)
    return "\n".join(lines) + "\n"


def report_memory(folder: Path) -> int:
    """Run in a process of its own: stream, watch /proc, print four numbers."""
    from csd.data import Batches, cache_pairs, find_pairs, train_dataset

    pairs = find_pairs(folder, 4, split="all")
    # The cache is built in another process, as a second run would find it.
    if (child := os.fork()) == 0:
        cache_pairs(pairs, 4, folder / "cache", progress=False)
        os._exit(0)
    os.waitpid(child, 0)
    cached = cache_pairs(pairs, 4, folder / "cache", progress=False)
    batches = Batches(lr_patch=LR_PATCH, batch_size=BATCH, seed=1, negatives=10)
    data = train_dataset(cached, batches, steps=600)
    peaks = {"RssAnon": 0.0, "RssFile": 0.0, "VmRSS": 0.0}
    for _ in data.create_tuple_iterator(num_epochs=1):
        status = Path("/proc/self/status").read_text()
        for line in status.splitlines():
            key, _, value = line.partition(":")
            if key in peaks:
                peaks[key] = max(peaks[key], int(value.split()[0]) / 1024)
    disk = sum(path.stat().st_size for path in folder.rglob("*.npy")) / 2**20
    print(*(f"{n:.0f}" for n in (disk, peaks["RssAnon"], peaks["RssFile"], peaks["VmRSS"])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
