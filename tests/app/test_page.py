"""The web page in headless Chromium: a real upload, both networks, the slider, the download."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    """The checkpoint that comes along, or an untrained one of two widths."""
    from csd.errors import InputError
    from csd.inference import shipped_checkpoint

    try:
        return shipped_checkpoint(4)
    except InputError:
        pass
    from csd import runtime

    runtime.setup("CPU", seed=1)
    from csd.checkpoints import network_state, save_checkpoint
    from csd.nets import create_model

    net = create_model("edsr", scale=4, n_feats=8, n_resblocks=2)
    path = tmp_path_factory.mktemp("ckpt") / "edsr.ckpt"
    meta = {"format": "csd", "version": 1, "model": net.describe(), "widths": [1.0, 0.25]}
    save_checkpoint(path, network_state(net), meta)
    return path


@pytest.fixture(scope="module")
def server(ckpt, tmp_path_factory):
    """(address, cache folder, process) of `tools/app.py` on a free port."""
    pytest.importorskip("gradio", reason="the web page needs Gradio: pip install -e '.[app]'")
    cache = tmp_path_factory.mktemp("cache")
    command = [sys.executable, "tools/app.py", "--ckpt", ckpt, "--port", "0", "--cache_dir", cache,
               "--device_target", "CPU"]  # fmt: skip
    process = subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if found := re.search(r"open (http://\S+) in", line):
                break
        else:
            pytest.fail("".join(lines))
        yield found[1], cache, process
    finally:
        process.kill()
        process.wait()


def wait(browser, selector, condition=lambda element: True, seconds=90):
    """The first element that fits; fails with the page's text."""
    from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
    from selenium.webdriver.support.ui import WebDriverWait

    def look(_):
        fitting = [e for e in browser.find_elements("css selector", selector) if condition(e)]
        return fitting[0] if fitting else None

    ignored = [StaleElementReferenceException]
    try:
        return WebDriverWait(browser, seconds, ignored_exceptions=ignored).until(look)
    except TimeoutException:
        pytest.fail(f"no {selector}: {browser.find_element('tag name', 'body').text}")


def summary(browser, words):
    return wait(browser, "#summary p", lambda e: words in e.text)


def upload(browser, path):
    wait(browser, "#upload input[type=file]").send_keys(str(path))


def sample_image(folder, side=160):
    """An image of `side` pixels across, or a drawn one where none is installed."""
    try:
        from skimage import data

        image = Image.fromarray(data.chelsea())
    except ImportError:
        image = Image.radial_gradient("L").convert("RGB")
    image.resize((side, side * 2 // 3), Image.Resampling.LANCZOS).save(folder / "cat.png")
    return folder / "cat.png"


def test_upload_compare_and_download(server, browser, tmp_path):
    address, _, _ = server
    assert address.startswith("http://127.0.0.1:")
    browser.get(address)
    upload(browser, sample_image(tmp_path))
    line = summary(browser, "160 x 106 → 640 x 424 pixels").text
    assert "width 0.25" in line and " s at" in line and "MB" in line

    images = "#slider img"
    wait(browser, images, lambda e: e.get_property("naturalWidth") == 640)
    before, after = [e.get_attribute("src") for e in browser.find_elements("css selector", images)]
    assert before != after
    assert urllib.request.urlopen(before).status == 200

    address_of_file = _download_address(browser)
    (tmp_path / "back.png").write_bytes(urllib.request.urlopen(address_of_file).read())
    with Image.open(tmp_path / "back.png") as result:
        assert result.size == (640, 424) and result.format == "PNG"

    teacher = wait(browser, "#width label", lambda e: "width 1)" in e.text)
    teacher.click()
    summary(browser, "at width 1,")

    errors = [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert errors == []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            own = (address, "data:", "blob:", "chrome:")  # the last is the browser's empty tab
            assert url.startswith(own), url


@pytest.mark.parametrize(("width", "height"), [(1000, 680), (390, 844)])
def test_it_fits_desk_and_phone_in_light_and_dark(
    server, browser, show, shoot, tmp_path, width, height
):
    brightness = {}
    for scheme in ("light", "dark"):
        show(width, height, scheme)
        browser.get(server[0])
        upload(browser, sample_image(tmp_path, 240))
        summary(browser, "240 x 160 → 960 x 640 pixels")
        wait(browser, "#slider img", lambda e: e.size["height"] > 150)
        time.sleep(1)  # the slider slides into its place
        overflow = "return document.documentElement.scrollWidth - window.innerWidth"
        assert browser.execute_script(overflow) <= 0
        with Image.open(shoot(f"app_{'desk' if width > 600 else 'phone'}_{scheme}")) as page:
            assert page.size == (width, height)
            # The page's lower edge: its paper, not the image.
            brightness[scheme] = np.asarray(page.convert("L"))[-30:, :10].mean()
    assert brightness["light"] > 200 and brightness["dark"] < 60


def _download_address(browser):
    """Where the download button leads: it makes a link for the moment of the click."""
    browser.execute_script(
        "HTMLAnchorElement.prototype.click = function () { window.downloaded = this.href; }"
    )
    wait(browser, "#download", lambda e: e.is_enabled()).click()
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 20).until(
        lambda b: b.execute_script("return window.downloaded || null")
    )


def test_limits_are_shown_on_the_page(server, browser, tmp_path):
    browser.get(server[0])
    Image.new("RGB", (2100, 2000)).save(tmp_path / "large.png")
    upload(browser, tmp_path / "large.png")
    assert "at most 4 are taken" in summary(browser, "megapixels").text
    assert not wait(browser, "#download").is_enabled()
    browser.get(server[0])
    (tmp_path / "text.png").write_text("once upon a time")
    upload(browser, tmp_path / "text.png")
    said = summary(browser, "damaged").text
    assert "This file" in said and "/" not in said.replace("'/", "")


@pytest.mark.flaky(reruns=1)
def test_it_ends_and_leaves_nothing(server):
    _, cache, process = server
    assert list((cache / "app").iterdir())
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    assert list((cache / "app").iterdir()) == []


def test_help_is_quick_and_usage_is_one_sentence(tmp_path):
    def call(*argv):
        return subprocess.run(
            [sys.executable, "tools/app.py", *argv], cwd=ROOT, capture_output=True, text=True,
            timeout=100,
        )  # fmt: skip

    done = call("--help")
    assert done.returncode == 0 and "127.0.0.1" in done.stdout
    (tmp_path / "file").touch()
    for argv in (["--port", "70000"], ["--max_mb", "0"], ["--cache_dir", str(tmp_path / "file")]):
        done = call(*argv)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("error: ")
