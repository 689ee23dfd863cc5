"""The web page, with Gradio: the one module that imports it."""

import os
import socket
from html import escape

from csd.app.guard import Guard, own_names
from csd.app.session import MEGABYTE, Session
from csd.data.formats import image_suffixes
from csd.errors import CSDError, InputError

# No fonts, scripts or statistics from elsewhere: the page works without a network.
_FONTS = ["system-ui", "sans-serif"]
_MONO = ["ui-monospace", "monospace"]
_CSS = ".failed { color: #c0341d; font-weight: 600; } footer { display: none !important; }"


def load_gradio(folder: str | None = None):
    """The gradio module, its statistics off.

    folder: where it puts uploads; only the first call of a process, which imports it, can say.

    Raises:
        InputError: it is not installed.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    if folder is not None:
        os.environ["GRADIO_TEMP_DIR"] = folder
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import gradio
    except ImportError:
        raise InputError(
            "the web page needs Gradio, which is not installed; `pip install -e '.[app]'` brings it"
        ) from None
    return gradio


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def _answerer(session: Session, gr):
    """What the page calls with an upload and a width: slider, download, and a line of HTML."""

    def upscale(path, width, progress=gr.Progress()):  # noqa: B008  Gradio finds it by this default
        no_file = gr.DownloadButton(value=None, interactive=False)
        if not path:
            return None, no_file, ""
        try:
            answer = session.upscale(path, width, lambda share: progress(share, desc="Upscaling"))
        except CSDError as error:
            sentence = escape(str(error))
            return (
                None,
                no_file,
                (f'<p class="failed" role="alert">{sentence[:1].upper()}{sentence[1:]}.</p>'),
            )
        return (
            (answer.before, answer.after),
            gr.DownloadButton(value=str(answer.file), interactive=True),
            f'<p class="done" role="status">{escape(answer.summary)}</p>',
        )

    return upscale


def build_page(session: Session):
    """The page as `gradio.Blocks`, not yet served."""
    gr = load_gradio()
    up = session.upscaler
    limits = (
        f"at most {session.max_bytes / MEGABYTE:g} MB and {session.max_pixels / 1e6:g} megapixels"
    )

    choices = session.widths()
    title = f"Super-resolution x{up.scale}"
    # Every ten minutes, what is older than an hour goes.
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.HTML(
            f"<h1>Images, {up.scale} times larger</h1>"
            f"<p>{escape(up.name.upper())} x{up.scale} in {up.engine.name}, for images of "
            f"{limits}. Nothing leaves the machine that serves this page.</p>"
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                upload = gr.File(
                    label="An image", file_types=sorted(image_suffixes()), elem_id="upload"
                )
                width = gr.Radio(choices, value=choices[0][1], label="Network", elem_id="width")
                summary = gr.HTML(elem_id="summary")
                download = gr.DownloadButton(
                    "Download PNG", interactive=False, elem_id="download", variant="primary"
                )
            with gr.Column(scale=3, min_width=320):
                slider = gr.ImageSlider(
                    label="Before (bicubic) | after",
                    type="numpy",
                    format="png",
                    interactive=False,
                    max_height=720,
                    elem_id="slider",
                    buttons=["fullscreen"],
                )
        gr.on(
            [upload.change, width.change],
            _answerer(session, gr),
            inputs=[upload, width],
            outputs=[slider, download, summary],
            concurrency_limit=1,
            api_name=False,
        )
    return page


def _bypass_proxies(host: str) -> None:
    """Gradio asks its own page whether it is there; a proxy knows nothing of it."""
    for name in ("NO_PROXY", "no_proxy"):
        known = os.environ.get(name, "").split(",")
        wanted = [*known, "localhost", "127.0.0.1", "::1", host]
        os.environ[name] = ",".join(dict.fromkeys(filter(None, map(str.strip, wanted))))


def serve(session: Session, *, host: str, port: int):
    """Serve the page from other threads, and return it: `page.local_url`, `page.close()`.

    port: 0 takes any free one.

    Raises:
        InputError: Gradio is not installed, or the address cannot be had.
    """
    gr = load_gradio()
    from starlette.middleware import Middleware  # comes with Gradio

    page = build_page(session)
    _bypass_proxies(host)
    guard = Middleware(Guard, own_names(host), session.folder, session.max_total)
    try:
        port = port or _free_port(host)
        page.launch(
            server_name=host,
            server_port=port,
            share=False,
            ssr_mode=False,
            max_file_size=session.max_bytes,
            footer_links=[],
            theme=gr.themes.Default(font=_FONTS, font_mono=_MONO),
            css=_CSS,
            show_error=False,
            quiet=True,
            prevent_thread_lock=True,
            app_kwargs={"middleware": [guard]},
        )
    except OSError as error:
        raise InputError(f"cannot serve at {host}:{port} ({error}); try another --port") from None
    return page
