"""The tabs of the page in the browser. Gradio must be installed.

Gradio looks up the annotations of a function to find out whether it takes the place of a click. So `gradio` must be a
name of this module, not of a function in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr
from fastapi import FastAPI

from rim_lightning.commands.face_menu import FaceMenu
from rim_lightning.commands.page import ADDRESS, CAUTION, TITLE, UPLOAD_SECONDS, Page
from rim_lightning.commands.page_guard import MAX_FILE, refusal_after

if TYPE_CHECKING:
    from rim_lightning.commands.page import Pictures

PRIVATE: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 1, "concurrency_id": "page"}
"""Settings of every button: one question at a time on the whole page, and no interface for programs."""
MAX_WAITING = 20  # questions
MAX_SESSIONS = 50  # windows of the browser whose choices are remembered
CSS = """
.faces .grid-wrap { height: auto; max-height: none; min-height: 0; }
.faces .grid-container { grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)) !important; max-width: 1130px; }
.choice img { cursor: pointer; }
.faces .caption-label { font-size: 11px; padding: 1px 4px; }
"""


def build_app(page: Page) -> FastAPI:
    """Build the page as a web application. It must stand behind a `PageGuard`.

    Args:
        page: The answers.

    Returns:
        The application; `state.questions` is the number of its questions. Gradio's own way to start a server lets
        nothing stand in front of it.
    """
    blocks = build_page(page)
    blocks.state_session_capacity = MAX_SESSIONS
    blocks.process_api = _without_traces(blocks.process_api)  # type: ignore[method-assign, assignment]
    app = gr.mount_gradio_app(
        FastAPI(openapi_url=None),
        blocks,
        path="/",
        server_name=ADDRESS,
        max_file_size=MAX_FILE,
        show_error=False,
        footer_links=[],
        ssr_mode=False,
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),  # none from the internet
        css=CSS,
    )
    app.state.questions = len(blocks.fns)  # numbered from 0
    blocks.has_launched = True  # Gradio refuses foreign paths only then
    return app


def _without_traces(process: Callable[..., Awaitable[dict[str, Any]]]) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Answer a question that fails with a sentence. Gradio would print a trace and show the word "Error" alone."""

    async def processed(*args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return await process(*args, **kwargs)
        except gr.Error as error:  # of Gradio itself: a value outside the choices
            error.print_exception = False
            raise
        except Exception as error:
            raise gr.Error(refusal_after(error).sentence, print_exception=False) from error

    return processed


def build_page(page: Page) -> gr.Blocks:
    """Build the page: one tab for each question.

    Args:
        page: The answers.

    Returns:
        The page, ready to be launched.
    """
    with gr.Blocks(title=TITLE, delete_cache=(60, UPLOAD_SECONDS), analytics_enabled=False) as blocks:
        gr.Markdown(f"# {TITLE}\n\n{CAUTION}")
        with gr.Tab("Two pictures"):
            _verify_tab(page)
        if page.gallery is not None:
            with gr.Tab("Search"):
                _search_tab(page)
        with gr.Tab("How small?"):
            _reduce_tab(page)
    return blocks.queue(max_size=MAX_WAITING, api_open=False)


def _verify_tab(page: Page) -> None:
    with gr.Row():
        with gr.Column():
            probe = _upload(page, "Probe: few pixels")
        with gr.Column():
            sharp = _upload(page, "Gallery: sharp")
    far, button = _far_choice(page), gr.Button("Compare", variant="primary")
    answer, faces = gr.Markdown(), _face_row()

    def ask(
        probe: str | None, sharp: str | None, far: float | None, menu: FaceMenu | None, sharp_menu: FaceMenu | None
    ) -> tuple[str, Pictures]:
        return page.verify(probe, sharp, far, _number(menu, probe), _number(sharp_menu, sharp))

    inputs, outputs = [probe.image, sharp.image, far, probe.menu, sharp.menu], [answer, faces]
    button.click(ask, inputs, outputs, **PRIVATE)
    for upload in (probe, sharp):
        upload.clicked.then(ask, inputs, outputs, **PRIVATE)


def _search_tab(page: Page) -> None:
    probe = _upload(page, "Probe: few pixels")
    far, top = _far_choice(page), gr.Slider(1, 20, 5, step=1, label="People shown")
    button = gr.Button("Search", variant="primary")
    answer = gr.Markdown()
    rows = gr.Dataframe(headers=["similarity", "person", "accepted", "picture"], interactive=False)

    def ask(probe: str | None, far: float | None, top: int, menu: FaceMenu | None) -> tuple[Any, ...]:
        return page.search(probe, far, top, _number(menu, probe))

    inputs, outputs = [probe.image, far, top, probe.menu], [answer, rows, _face_row()]
    button.click(ask, inputs, outputs, **PRIVATE)
    probe.clicked.then(ask, inputs, outputs, **PRIVATE)


def _reduce_tab(page: Page) -> None:
    upload = _upload(page, "Your own photograph")
    rim = page.recognizer.rim
    size = gr.Slider(7, rim.hr_size, rim.lr_size, step=1, label="Reduce the face to, px")
    far, button = _far_choice(page), gr.Button("Reduce", variant="primary")

    def ask(picture: str | None, size: int, far: float | None, menu: FaceMenu | None) -> tuple[Any, ...]:
        return page.reduce(picture, size, far, _number(menu, picture))

    inputs: list[Any] = [upload.image, size, far, upload.menu]
    outputs = [gr.Markdown(), _face_row(), gr.Plot(show_label=False)]
    button.click(ask, inputs, outputs, **PRIVATE)
    size.release(ask, inputs, outputs, **PRIVATE)
    upload.clicked.then(ask, inputs, outputs, **PRIVATE)


class _Upload(NamedTuple):
    """A place for a picture, and for the choice of the face in it.

    Attributes:
        image: The picture, as its path.
        menu: A `FaceMenu`, or None if there is nothing to choose.
        clicked: The event that a face was clicked, when `menu` holds the choice.
    """

    image: gr.Image
    menu: gr.State
    clicked: Any


def _upload(page: Page, label: str) -> _Upload:
    """Make a place for a picture. Below it several faces are shown, of which one is clicked."""
    image = gr.Image(label=label, type="filepath", sources=["upload", "clipboard"], height=260, buttons=[])
    # Pass the file unopened: Gradio would open it, and has no clear message for a damaged one. A subclass would not do:
    # Gradio writes a stub file beside its source.
    image.preprocess = lambda payload: None if payload is None else payload.path  # type: ignore[method-assign]
    state = gr.State(None)
    several = gr.Markdown("Several faces: click the one that is meant. Number 1 is taken otherwise.", visible=False)
    shown = gr.Image(
        show_label=False,  # it would cover a corner of the picture
        interactive=False,
        visible=False,
        format="png",
        buttons=[],
        elem_classes="choice",
    )

    def show(picture: str | None) -> tuple[Any, Any, FaceMenu | None]:
        menu = page.faces(picture)
        visible = menu is not None
        return gr.Markdown(visible=visible), gr.Image(value=menu.drawn() if menu else None, visible=visible), menu

    def choose(menu: FaceMenu | None, event: gr.SelectData) -> tuple[Any, FaceMenu | None]:
        if menu is None:
            return None, None
        try:
            menu = menu.clicked(*event.index)
            return menu.drawn(), menu
        except OSError:  # the upload was removed; the answer to the question will say so
            return gr.skip(), menu

    image.change(show, image, [several, shown, state], **PRIVATE)
    return _Upload(image, state, shown.select(choose, state, [shown, state], **PRIVATE))


def _number(menu: FaceMenu | None, picture: str | None) -> int | None:
    return None if menu is None else menu.number_in(picture)


def _far_choice(page: Page) -> gr.Dropdown:
    """Make the choice of a false accept rate. It starts at the default of every command, or empty."""
    choices: list[Any] = [(f"1 in {1 / far:,.0f}", far) for far in page.fars]
    return gr.Dropdown(choices, value=page.far, label="Strangers accepted")


def _face_row() -> gr.Gallery:
    """Make a row for the five pictures of a face."""
    return gr.Gallery(
        label="What the network makes of the probe",
        show_label=False,
        interactive=False,
        format="png",
        columns=5,
        object_fit="contain",
        buttons=["download", "fullscreen"],
        elem_classes="faces",
    )
