"""What tests share: quiet MindSpore on the CPU, reference files, images where present."""

import base64
import os
import shutil
import signal
from pathlib import Path

os.environ.setdefault("GLOG_v", "3")

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]


# MindSpore 2.8 sometimes enters another layer's graph while it infers a function's: about one of
# thirty CSD steps that one process compiles after several others.
MIXED_GRAPHS = "TypeError: The parameters number of the function is"


def pytest_collection_modifyitems(items):
    """Compile once more what failed by that, and by nothing else."""
    for item in items:
        if item.get_closest_marker("flaky") is None:
            item.add_marker(pytest.mark.flaky(reruns=1, only_rerun=MIXED_GRAPHS))


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of the reference networks, losses and training steps (npz, json)."""
    return ROOT / "tests" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with `benchmark/` and `photos/`; CSD_TEST_DATA names another one."""
    folder = Path(os.environ.get("CSD_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no benchmark images at {folder}; set CSD_TEST_DATA to their folder")
    return folder


@pytest.fixture
def hang_up():
    """SIGHUP does what it does in a terminal, in this process and those that it starts.

    Tests that are run by `nohup` inherit that it is ignored.
    """
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def mindspore_cpu():
    """MindSpore in graph mode on the CPU, seeded; tests that build networks ask for it."""
    from csd import runtime

    runtime.setup(device_target="CPU", seed=1)


@pytest.fixture
def browser(tmp_path):
    """Headless Chromium that logs its console and its requests."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no Chromium with its driver; apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage",
                 "hide-scrollbars", "window-size=1280,900",
                 f"user-data-dir={tmp_path / 'profile'}"):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


@pytest.fixture
def show(browser):
    """Function: make the browser a screen of this size, a phone's or a desk's, light or dark."""

    def set_screen(width: int, height: int, scheme: str) -> None:
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        wanted = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wanted})

    return set_screen


@pytest.fixture
def shoot(browser, tmp_path):
    """Function: write what the browser shows as NAME.png.

    CSD_SCREENSHOTS names the folder: `docs/images` for those of the README.
    """

    def take(name: str) -> Path:
        shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        path = Path(os.environ.get("CSD_SCREENSHOTS") or tmp_path) / f"{name}.png"
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    return take


def pytest_terminal_summary(terminalreporter):
    """The training steps that compiled for a device which is not there, as a table."""
    compiled: dict[tuple[str, ...], list[str]] = {}
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "compiled":
                compiled.setdefault(tuple(value[:3]), []).append(value[3])
    if compiled:
        terminalreporter.section("training steps compiled for Ascend and GPU")
        terminalreporter.write_line("| method | backbone | level | device (option) |")
        terminalreporter.write_line("|---|---|---|---|")
    for case, devices in sorted(compiled.items()):
        terminalreporter.write_line(f"| {' | '.join(case)} | {', '.join(sorted(devices))} |")


@pytest.fixture(scope="session")
def sample_image() -> np.ndarray:
    """A smooth image with edges, uint8 (61, 83, 3)."""
    y, x = np.mgrid[0:61, 0:83]
    waves = np.stack([np.sin(x / 5) * 90, np.cos(y / 7) * 90, np.sin((x + y) / 9) * 90], axis=2)
    waves[20:40, 30:60] *= -1
    return (waves + 128).astype(np.uint8)


@pytest.fixture
def small_set(tmp_path, sample_image):
    """`data/Tiny` with two HR images and no LR: a data_dir for eval.py."""
    folder = tmp_path / "data" / "Tiny" / "HR"
    folder.mkdir(parents=True)
    Image.fromarray(sample_image).save(folder / "one.png")
    Image.fromarray(np.ascontiguousarray(sample_image[:50, ::-1])).save(folder / "two.png")
    return tmp_path / "data"
