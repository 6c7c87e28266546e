"""The tabs of the page in the browser. Gradio must be installed.

Gradio looks up the annotations of a function to find out whether it takes the place of a click. So `gradio` must be a
name of this module, not of a function in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import gradio as gr
from fastapi import FastAPI

from rim_lightning.commands.face_menu import FaceMenu
from rim_lightning.commands.page import CAUTION, TITLE, UPLOAD_SECONDS, Page
from rim_lightning.commands.page_cards import CSS, PageAnswer, answer_html, files_html, note_html
from rim_lightning.commands.page_guard import MAX_FILE, refusal_after
from rim_lightning.commands.page_report import PageQuestion
from rim_lightning.commands.page_server import ADDRESS
from rim_lightning.extras import EXTRAS

PRIVATE: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 1, "concurrency_id": "page"}
"""Settings of every button: one question at a time on the whole page, and no interface for programs."""
MAX_WAITING = 20  # questions
LETTERS_OF_NAMES = 1000  # characters of the names of those who looked
MAX_SESSIONS = 50  # windows of the browser whose choices are remembered
REPORT_NOTE = (
    "The report is in this window alone: save it before you close it. No record of it is kept on the disk, so that it "
    "cannot be replayed; rim verify --record and rim identify --record keep one."
)
PAGE_CSS = """
.choice img { cursor: pointer; max-height: 300px; width: auto !important; max-width: 100%; object-fit: contain; }
.choice { width: fit-content; max-width: 100%; }
.answer { min-height: 5rem; }
.html-container { padding: 0 !important; }
@media (max-width: 480px) { .tab-container button { padding: 0 .4rem !important; font-size: .8rem !important; } }
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
        css=CSS + PAGE_CSS,
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
        if all(find_spec(module) for module in EXTRAS["video"]):
            with gr.Tab("A clip"):
                _clip_tab(page)
        with gr.Tab("How small?"):
            _reduce_tab(page)
    return blocks.queue(max_size=MAX_WAITING, api_open=False)


def _verify_tab(page: Page) -> None:
    with gr.Row():
        with gr.Column():
            probe = _upload(page, "Probe: few pixels", "The probe")
        with gr.Column():
            sharp = _upload(page, "Gallery: sharp", "The gallery picture")
    far, button = _far_choice(page), gr.Button("Compare", variant="primary")
    place = _answer_place(page, "Give a probe and a gallery picture, then press Compare: the answer appears here.")

    def ask(
        probe: str | None, sharp: str | None, far: float | None, menu: FaceMenu | None, sharp_menu: FaceMenu | None
    ) -> list[Any]:
        faces = _number(menu, probe), _number(sharp_menu, sharp)
        return place.shown(page.verify(probe, sharp, far, *faces), probe, sharp, far, *faces)

    inputs = [probe.image, sharp.image, far, probe.menu, sharp.menu]
    button.click(ask, inputs, place.outputs, **PRIVATE)
    for upload in (probe, sharp):
        upload.chosen.then(ask, inputs, place.outputs, **PRIVATE)


def _search_tab(page: Page) -> None:
    probe = _upload(page, "Probe: few pixels", "The probe")
    far, top = _far_choice(page), gr.Slider(1, 20, 5, step=1, label="People shown")
    button = gr.Button("Search", variant="primary")
    place = _answer_place(page, "Give a probe, then press Search: the people whose pictures are nearest appear here.")

    def ask(probe: str | None, far: float | None, top: int, menu: FaceMenu | None) -> list[Any]:
        face = _number(menu, probe)
        return place.shown(page.search(probe, far, top, face), probe, None, far, face, None, top)

    inputs = [probe.image, far, top, probe.menu]
    button.click(ask, inputs, place.outputs, **PRIVATE)
    probe.chosen.then(ask, inputs, place.outputs, **PRIVATE)


def _clip_tab(page: Page) -> None:
    clip = gr.File(label="Clip: up to 20 MB, two minutes are searched", file_types=["video"], height=140)
    _pass_unopened(clip)
    far, button = _far_choice(page), gr.Button("Follow", variant="primary")
    then = " and searched for in the gallery" if page.gallery is not None else ""
    answer = _empty_answer(f"Give a clip, then press Follow: each face is followed{then}, and its best picture shown.")

    def ask(clip: str | None, far: float | None) -> str:
        return answer_html(page.clip(clip, far))

    button.click(ask, [clip, far], answer, **PRIVATE)


def _reduce_tab(page: Page) -> None:
    upload = _upload(page, "Your own photograph", "The picture")
    rim = page.recognizer.rim
    size = gr.Slider(7, rim.hr_size, rim.lr_size, step=1, label="Reduce the face to, px")
    far, button = _far_choice(page), gr.Button("Reduce", variant="primary")
    answer = _empty_answer("Give a sharp picture, then press Reduce: it is compared with itself, made small.")

    def ask(picture: str | None, size: int, far: float | None, menu: FaceMenu | None) -> tuple[str, Any]:
        reduced = page.reduce(picture, size, far, _number(menu, picture))
        return answer_html(reduced), reduced.figure

    inputs: list[Any] = [upload.image, size, far, upload.menu]
    outputs = [answer, gr.Plot(show_label=False)]
    button.click(ask, inputs, outputs, **PRIVATE)
    size.release(ask, inputs, outputs, **PRIVATE)
    upload.chosen.then(ask, inputs, outputs, **PRIVATE)


class _AnswerPlace(NamedTuple):
    """The place of an answer, with the button for its report.

    Attributes:
        page: The answers.
        outputs: Answer, question that was answered, names of those who looked, button, and links to the reports.
    """

    page: Page
    outputs: list[Any]

    def shown(self, answer: PageAnswer, *asked: Any) -> list[Any]:
        """Return the values of the outputs for an answer to a question."""
        can_report = self.page.reports is not None and not answer.refused
        question = self.page.question(*asked) if can_report else None
        return [answer_html(answer), question, gr.Textbox(visible=can_report), gr.Button(visible=can_report), ""]


def _answer_place(page: Page, invitation: str) -> _AnswerPlace:
    """Make the place of an answer. The button makes a report of the question that was answered."""
    answer, asked = _empty_answer(invitation), gr.State(None)
    names = gr.Textbox(
        label="Who looked: names for the report, separated by commas", max_length=LETTERS_OF_NAMES, visible=False
    )
    button, links = gr.Button("Report of this answer", visible=False), gr.HTML()

    def report(asked: PageQuestion | None, names: str | None) -> str:
        if asked is None:
            return note_html("Ask first: a report is of an answer.", wrong=True)
        try:
            return files_html(page.report(asked, names or ""), REPORT_NOTE)
        except FileNotFoundError:
            return note_html("A picture is no longer there: give it again.", wrong=True)
        except (OSError, ValueError) as error:
            return note_html(str(error), wrong=True)

    button.click(report, [asked, names], links, **PRIVATE)
    return _AnswerPlace(page, [answer, asked, names, button, links])


def _empty_answer(invitation: str) -> gr.HTML:
    """Make the place of an answer, which says what to do until there is one."""
    return gr.HTML(note_html(invitation), elem_classes="answer")


class _Upload(NamedTuple):
    """A place for a picture, and for the choice of the face in it.

    Attributes:
        image: The picture, as its path.
        menu: A `FaceMenu`, or None if there is nothing to choose.
        chosen: The event that a face was chosen, by a click or by its number, when `menu` holds the choice.
    """

    image: gr.Image
    menu: gr.State
    chosen: Any


def _upload(page: Page, label: str, name: str) -> _Upload:
    """Make a place for a picture. Below it the faces are shown, of which one is clicked, or chosen by its number.

    Args:
        page: The answers.
        label: What stands above the picture.
        name: Name of the picture in messages.
    """
    image = gr.Image(label=label, type="filepath", sources=["upload", "clipboard"], height=220, buttons=[])
    _pass_unopened(image)
    state = gr.State(None)
    note = gr.HTML()
    shown = gr.Image(
        show_label=False,  # it would cover a corner of the picture
        interactive=False,
        visible=False,
        format="png",
        buttons=[],
        elem_classes="choice",
    )
    numbers = gr.Dropdown([], label="Number of the face", visible=False)

    def show(picture: str | None) -> list[Any]:
        found = page.faces(picture, name)
        menu = found.menu
        count = len(menu.faces) if menu else 0
        return [
            note_html(found.sentence, wrong=menu is None),
            gr.Image(value=menu.drawn() if menu else None, visible=menu is not None),
            gr.Dropdown(list(range(1, count + 1)), value=1 if count else None, visible=count > 1),
            menu,
        ]

    def choose(menu: FaceMenu | None, number: int | None, event: gr.EventData) -> list[Any]:
        if menu is None:
            return [None, gr.skip(), None]
        click = event._data if isinstance(event._data, dict) else {}  # a click says where; the choice of a number not
        try:
            menu = menu.clicked(*click["index"]) if "index" in click else menu.numbered(number)
            return [menu.drawn(), gr.Dropdown(value=menu.chosen or 1), menu]
        except OSError:  # the upload was removed; the answer to the question will say so
            return [gr.skip(), gr.skip(), menu]

    image.change(show, image, [note, shown, numbers, state], **PRIVATE)
    triggers, inputs = [shown.select, numbers.input], [state, numbers]
    return _Upload(image, state, gr.on(triggers, choose, inputs, [shown, numbers, state], **PRIVATE))


def _pass_unopened(component: gr.Image | gr.File) -> None:
    """Pass a file on as its path. Gradio would open or copy it, and has no clear message for a damaged one.

    A subclass would not do: Gradio writes a stub file beside its source.
    """
    component.preprocess = lambda payload: None if payload is None else payload.path  # type: ignore[method-assign]


def _number(menu: FaceMenu | None, picture: str | None) -> int | None:
    return None if menu is None else menu.number_in(picture)


def _far_choice(page: Page) -> gr.Dropdown:
    """Make the choice of a false accept rate. It starts at the default of every command, or empty."""
    choices: list[Any] = [(f"1 in {1 / far:,.0f}", far) for far in page.fars]
    return gr.Dropdown(choices, value=page.far, label="Strangers accepted")
