"""What the page answers, and the page itself in a real browser."""

import json
import re
import shutil
from importlib.util import find_spec

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from rim_lightning.commands.page import Page
from rim_lightning.commands.page_cards import PageAnswer
from rim_lightning.commands.page_report import ReportMaker
from rim_lightning.commands.rim.main import main
from rim_lightning.commands.rim.model_choice import ModelChoice
from rim_lightning.gallery.enrollment import enroll
from rim_lightning.gallery.index import Gallery
from rim_lightning.inference.face_pictures import CHOSEN_COLOR, HALLUCINATED
from rim_lightning.inference.recognizer import Recognizer
from tests.helpers.pages import running_page, write_small_model
from tests.helpers.stores import small_synthetic_store
from tests.helpers.tiny import MODEL

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, pictures of three synthetic people in folders of their names, a probe, a gallery, a file of text."""
    folder = tmp_path_factory.mktemp("page")
    write_small_model(folder / "model")
    store = small_synthetic_store(folder / "store", people=6, views=2, hr_size=96)
    for index in range(6):
        person = folder / "known" / f"person {index // 2}"
        person.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(store.images[index])).save(person / f"{index}.png")
    Image.open(folder / "known" / "person 1" / "2.png").resize((28, 28)).save(folder / "probe.png")
    (folder / "notes.png").write_text("no picture")
    recognizer = Recognizer.from_checkpoint(folder / "model")
    gallery = Gallery(folder / "index", recognizer.fingerprint, recognizer.embedding_size, create=True)
    assert enroll(recognizer, gallery, folder / "known").added == 6
    return folder


@pytest.fixture(scope="module")
def page(folder):
    recognizer = Recognizer.from_checkpoint(folder / "model", demo=True)
    return Page(recognizer, Gallery(folder / "index", recognizer.fingerprint, recognizer.embedding_size))


def words_of(answer):
    """All sentences of an answer, a line each."""
    return "\n".join([*answer.lines, *(line for card in answer.cards for line in (card.heading, *card.lines))])


def test_two_pictures(page, folder):
    probe, sharp = str(folder / "probe.png"), str(folder / "known" / "person 1" / "3.png")
    (card,) = page.verify(probe, sharp, 1e-2).cards
    answer = page.recognizer.verify(probe, sharp, 1e-2)
    assert [line.casefold() for line in (card.heading, *card.lines[:3])] == [
        line.casefold() + "." * (place > 0) for place, line in enumerate(answer.in_words())
    ]
    assert card.score == (answer.similarity, answer.threshold)
    captions = [f"probe, {answer.probe_size:.0f} px", HALLUCINATED, f"gallery picture, {answer.gallery_size:.0f} px"]
    assert [caption for _, caption in card.pictures] == captions
    assert [caption for _, caption in card.more] == ["bicubic", "coarse", "landmarks", "parsing"]
    pixels = (page.recognizer.hallucinate(probe).sr[0].permute(1, 2, 0) * 255).round().byte().numpy()
    enlarged = Image.fromarray(pixels).resize((256, 256), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(card.pictures[1][0], enlarged)
    (face,) = page.recognizer.align(sharp)
    pixels = ((face.pixels.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    enlarged = Image.fromarray(pixels).resize((256, 256), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(card.pictures[2][0], enlarged)


PLACES = (("person 2/5", 190, 20, 200), ("person 0/1", 20, 90, 120))  # picture, left, top, side; the largest first


@pytest.fixture(scope="module")
def frame(folder):
    """A picture of two people."""
    picture = Image.new("RGB", (420, 260), (120, 120, 120))
    for person, left, top, side in PLACES:
        picture.paste(Image.open(folder / "known" / f"{person}.png").resize((side, side)), (left, top))
    picture.save(folder / "frame.png")
    return str(folder / "frame.png")


def middle(number, scale=1.0):
    _, left, top, side = PLACES[number - 1]
    return scale * (left + side / 2), scale * (top + side / 2)


def test_a_face_is_chosen_by_a_click(page, folder, frame):
    sentence, menu = page.faces(frame)
    assert sentence.startswith("2 faces were found: click the one that is meant, or choose its number.")
    scale = 960 / 420  # small pictures are shown with a longer side of 960 px
    assert menu.drawn().size == (960, round(260 * scale))
    for number in (1, 2):
        chosen = menu.clicked(*middle(number, scale))
        assert chosen == menu.numbered(number)
        assert chosen.number_in(frame) == number
        assert chosen.number_in("another picture") is None
        x, y = np.array(middle(number, scale)).astype(int)
        green = (np.asarray(chosen.drawn()) == CHOSEN_COLOR).all(-1)
        assert green[:, x].any()
        assert green[y].any()
        assert not green[:, int(middle(3 - number, scale)[0])].any()
    assert menu.clicked(3, 3) == menu  # beside all boxes
    assert menu.number_in(frame) is None
    assert menu.numbered(3) == menu.numbered(0) == menu.numbered(None) == menu
    sentence, menu = page.faces(str(folder / "probe.png"))
    assert re.fullmatch(r"One face was found, of \d+ px\.", sentence)
    assert len(menu.faces) == 1
    assert page.faces(None) == ("", None)
    sentence, menu = page.faces(str(folder / "notes.png"), "The probe")
    assert sentence.startswith("The probe is not an image of a known format")
    assert menu is None


def test_a_face_is_chosen_by_its_number(page, folder, frame):
    sharp = str(folder / "known" / "person 1" / "3.png")
    answers = {number: words_of(page.verify(frame, sharp, 1e-2, number)) for number in (None, 1, 2)}
    assert "The probe shows 2 faces: the largest was taken." in answers[None]
    assert "largest" not in answers[1] + answers[2]
    assert answers[1].splitlines()[1] == answers[None].splitlines()[1] != answers[2].splitlines()[1]


def test_a_search(page, folder):
    answer = page.search(str(folder / "known" / "person 2" / "4.png"), 1e-2, 2)
    hits = hits_of(page, folder)
    assert [card.heading for card in answer.cards] == [f"{rank}. {hit.person}" for rank, hit in enumerate(hits, 1)]
    assert [card.score for card in answer.cards] == [(pytest.approx(hit.similarity, abs=1e-6), -1.0) for hit in hits]
    assert "Of 6 pictures, a stranger passes for 0.06 on average" in words_of(answer)
    for card, hit in zip(answer.cards, hits, strict=True):
        assert card.lines[0].startswith("Above the threshold")  # that for sharp probes lies below every cosine
        assert card.lines[-1] == f"Gallery picture: {hit.source}"
        assert [caption for _, caption in card.pictures][1:] == [HALLUCINATED, "gallery picture"]
    shown = page.verify(hits[0].source, hits[0].source, 1e-2).cards[0].pictures[2][0]
    np.testing.assert_array_equal(answer.cards[0].pictures[2][0], shown)


def test_a_picture_that_changed_since_it_was_enrolled_is_not_shown(page, folder):
    probe = folder / "known" / "person 2" / "4.png"
    content = probe.read_bytes()
    copy = folder / "copy.png"
    copy.write_bytes(content)
    try:
        Image.open(copy).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(probe)
        cards = page.search(str(copy), 1e-2, 3).cards
    finally:
        probe.write_bytes(content)
    shown = {card.lines[-1].rpartition("/")[2]: len(card.pictures) for card in cards}
    assert shown.pop("4.png, CHANGED since it was enrolled") == 2
    assert list(shown.values()) == [3, 3]


@pytest.fixture(scope="module")
def clip(folder):
    """A clip of one person of the gallery, who walks by."""
    clips = pytest.importorskip("tests.helpers.clips")
    face = np.asarray(Image.open(folder / "known" / "person 2" / "4.png").convert("RGB").resize((90, 90)))
    frames = clips.drawn_frames(30, [(face, lambda number: (10 + number, 15))])
    return str(clips.write_clip(folder / "clip.mp4", frames))


def test_a_clip_gets_a_card_for_each_face_by_its_template(page, clip, folder):
    pytest.importorskip("av")
    answer = page.clip(clip, 1e-2)
    track, *hits = answer.cards
    frames = re.fullmatch(r"Track 1: in (\d+) frames", track.heading)[1]
    assert answer.lines[0] == f"One face was followed through {frames} frames, 5 of each second."
    assert [caption for _, caption in track.pictures][1:] == [HALLUCINATED]
    assert re.fullmatch(r"The best of them is at 0:00:0\d\.\d00, of \d+ px\.", track.lines[0])
    assert [card.heading.partition(". ")[0] for card in hits] == ["Track 1, 1", "Track 1, 2", "Track 1, 3"]
    assert re.fullmatch(r"Its 4 best pictures, of \d+( to \d+)? px, are searched for as one template\.", track.lines[1])
    words = ["identify", "-m", folder / "model", "-i", folder / "index", clip, "--demo", "--fps", "5", "--far", "1e-2"]
    done = CliRunner().invoke(main, [*map(str, words), "--top", "3", "--json"])
    (answered,) = json.loads(done.stdout)["probes"]
    found = [(hit["person"], hit["similarity"], hit["threshold"]) for hit in answered["hits"]]
    shown = [(card.heading.rpartition(". ")[2], *card.score) for card in hits]
    assert shown == [(who, pytest.approx(cosine, abs=2e-3), at) for who, cosine, at in found]  # boxes of 0.1 px there
    alone = Page(page.recognizer).clip(clip, 1e-2)
    assert [card.heading for card in alone.cards] == [track.heading]
    assert alone.lines == [answer.lines[0]]


def test_a_long_clip_is_searched_in_part(page, clip, monkeypatch):
    pytest.importorskip("av")
    monkeypatch.setattr("rim_lightning.commands.page_clip.MOST_FRAMES", 2)
    lines = page.clip(clip, 1e-2).lines
    assert lines[:2] == [
        "One face was followed through 2 frames, 5 of each second.",
        "The clip is longer: its first 2 frames were searched.",
    ]
    monkeypatch.setattr("rim_lightning.commands.page_clip.MOST_PIXELS", 1000)
    answer = page.clip(clip, 1e-2)
    assert answer.refused
    assert words_of(answer).startswith("The clip has frames of 160 x 120 pixels, more than ")


def test_a_report_says_what_the_page_says_and_leaves_nothing(page, folder, frame, tmp_path):
    model = ModelChoice(folder / "model", "cpu", "yunet")
    maker = ReportMaker(page.recognizer, page.gallery, model, None, str(folder / "index"), tmp_path)
    reporting = Page(page.recognizer, page.gallery, maker)
    sharp = str(folder / "known" / "person 1" / "3.png")
    for card, asked in (
        (page.verify(frame, sharp, None, 2).cards[0], (frame, sharp, None, 2)),
        (page.search(frame, None, 2, 2).cards[0], (frame, None, None, 2, None, 2)),
    ):
        files = reporting.report(reporting.question(*asked), " Ana Lang, ,Jo <Reid>")
        assert set(files) == {"report.html", *(["report.pdf"] if find_spec("reportlab") else [])}
        text = files["report.html"].decode()
        assert f"{card.score[0]:.3f}" in text
        assert f"{card.score[1]:.3f}" in text
        assert "given to the page.png" in text
        assert (
            text.index("These people are named as having looked") < text.index("Ana Lang") < text.index("Jo &lt;Reid")
        )
        assert str(folder / "frame.png") not in text
        assert str(tmp_path) not in text
        assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="the name is too long"):
        reporting.report(reporting.question(*asked), 20_001 * "a")
    with pytest.raises(FileNotFoundError):
        reporting.report(reporting.question(str(tmp_path / "gone.png"), sharp, None))
    assert not list(tmp_path.iterdir())


def hits_of(page, folder):
    probe = page.recognizer.embed_probes(folder / "known" / "person 2" / "4.png")
    return page.gallery.search(probe, 2)[0]


def test_how_small_a_face_may_get(page, folder):
    picture = str(folder / "known" / "person 0" / "0.png")
    answer = page.reduce(picture, 16, 1e-2)
    assert re.match(r"At 16 px: (above|below) the threshold", answer.cards[0].heading)
    assert "compares a picture with itself" in words_of(answer)
    line = answer.figure.axes[0].lines[0]
    assert 16 in line.get_xdata()
    assert line.get_xdata()[0] == 7
    assert answer.cards[0].pictures[0][1] == "probe, 16 px"
    assert "choose a size below that" in words_of(page.reduce(picture, 4000, 1e-2))


def test_what_is_missing_or_wrong_gets_a_sentence(page, folder):
    notes = str(folder / "notes.png")
    assert page.verify(None, notes, 1e-2) == PageAnswer(["Give a probe and a gallery picture."], refused=True)
    assert page.search(None, 1e-2, 3) == PageAnswer(["Give a probe."], refused=True)
    assert page.reduce(None, 9, 1e-2) == PageAnswer(["Give a picture."], refused=True)
    assert page.clip(None, 1e-2) == PageAnswer(["Give a clip."], refused=True)
    for answer in (page.verify(notes, notes, 1e-2), page.search(notes, 1e-2, 3), page.reduce(notes, 9, 1e-2)):
        assert answer.refused
        assert re.fullmatch(
            r"The (probe|picture) is not an image of a known format \(JPEG.*\): convert it to one of them\.",
            words_of(answer),
        )
    assert words_of(page.clip(notes, 1e-2)).startswith("The clip is no clip that can be read")
    assert page.fars == [1e-2, 1e-3]  # 1e-4 has no thresholds
    page_without = Recognizer.from_checkpoint(folder / "model")
    page_without.calibration = None
    with pytest.raises(
        ValueError, match="The model has no thresholds: rim export --people <a prepared set> chooses them"
    ):
        Page(page_without)


@pytest.fixture(scope="module")
def address(folder):
    """Of a page that `rim page` shows, with its token."""
    with running_page("--demo", "-m", folder / "model", "-i", folder / "index") as page:
        yield page.address


@pytest.fixture(scope="module")
def playwright():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with sync_api.sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright):
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield browser
    browser.close()


@pytest.fixture(params=[1280, 390])
def view(request, address, browser):
    """The page in a browser window of a width; nothing may be asked of anybody else, and nothing may be refused."""
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    view = context.new_page()
    view.set_default_timeout(60_000)
    requests, refused = [], []
    view.on("request", lambda request: requests.append(request.url))
    view.on("response", lambda response: refused.append(response.url) if response.status >= 400 else None)
    view.goto(address)
    view.get_by_role("button", name="Compare").wait_for()
    assert "token" not in view.url
    yield view
    base = address.partition("?")[0]
    assert not [url for url in requests if not url.startswith((base, "data:", "blob:"))]
    assert not refused
    context.close()


def upload(view, *files):
    """Into the places of the open tab, from the first."""
    for number, file in enumerate(files):
        view.locator("[role=tabpanel]:visible input[type=file]").nth(number).set_input_files(file)
        view.wait_for_timeout(1500)


def looked_at(view, path):
    """A picture of the whole page, of which nothing may be cut off."""
    view.wait_for_timeout(1000)
    view.screenshot(path=path, full_page=True)
    assert view.evaluate("document.documentElement.scrollWidth") <= view.viewport_size["width"]


def faces_shown(view):
    shown = view.locator(".rim-faces img:visible")
    shown.first.wait_for()
    boxes = [shown.nth(number).bounding_box() for number in range(shown.count())]
    return [box["width"] for box in boxes]


def test_two_pictures_in_a_browser(folder, view, tmp_path):
    upload(view, folder / "probe.png", folder / "known" / "person 1" / "3.png")
    view.get_by_role("button", name="Compare").click()
    view.get_by_role("heading", name=re.compile("the threshold")).wait_for()
    assert re.search(r"a probe of \d+ px", view.inner_text("body"))
    assert "the threshold (FAR 1 in 1,000)" in view.inner_text("body")
    widths = faces_shown(view)
    assert len(widths) == 3  # the others are shown on demand
    assert min(widths) >= 90
    view.get_by_role("button", name="Report of this answer").click()
    with view.expect_download() as download:
        view.get_by_role("link", name="Save report.html").click()
    report = download.value.path().read_text()
    assert report.startswith("<!DOCTYPE html>")
    assert re.search(r"similarity [-\d.]+\d, threshold", view.inner_text("body"), re.IGNORECASE)[0] in report
    looked_at(view, tmp_path / "compare.png")


def click_face(view, number):
    """Click the middle of a face in the picture with the numbers, as it is shown."""
    shown = view.locator(".choice img:visible").first
    box = shown.bounding_box()
    x, y = middle(number, box["width"] / 420)
    shown.click(position={"x": x, "y": y})


def similarity_of(answer):
    return re.search(r"Similarity [-\d.]+\d", words_of(answer))[0]


def shows(view, text):
    view.locator("[role=tabpanel]:visible").get_by_text(text).locator("visible=true").first.wait_for()


def test_a_face_is_clicked_in_a_browser(page, folder, frame, view, tmp_path):
    sharp = str(folder / "known" / "person 1" / "3.png")
    similarities = {number: similarity_of(page.verify(frame, sharp, None, number)) for number in (1, 2)}
    assert similarities[1] != similarities[2]
    upload(view, frame, sharp)
    shows(view, re.compile("2 faces were found: click the one that is meant"))
    shows(view, re.compile("One face was found, of "))
    assert view.get_by_label("Number of the face").locator("visible=true").count() == 1  # the other shows one face
    view.get_by_role("button", name="Compare").click()
    shows(view, re.compile("The probe shows 2 faces: the largest was taken"))
    shows(view, similarities[1])
    for number in (2, 1, 2):
        click_face(view, number)
        shows(view, similarities[number])
        assert "the largest was taken" not in view.inner_text("body")
    view.get_by_label("Number of the face").locator("visible=true").click()
    view.get_by_role("option", name="1").click()
    shows(view, similarities[1])
    looked_at(view, tmp_path / "clicked.png")


@pytest.mark.parametrize("view", [390], indirect=True)
def test_another_picture_forgets_the_click_in_a_browser(page, folder, frame, view, tmp_path):
    other = tmp_path / "other.png"
    Image.open(frame).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(other)
    sharp = str(folder / "known" / "person 1" / "3.png")
    upload(view, frame, sharp)
    click_face(view, 2)
    shows(view, similarity_of(page.verify(frame, sharp, None, 2)))
    view.get_by_label("Remove").first.click()
    view.get_by_label("Number of the face").locator("visible=true").wait_for(state="detached")
    upload(view, other)
    view.get_by_role("button", name="Compare").click()
    shows(view, similarity_of(page.verify(str(other), sharp, None)))
    shows(view, re.compile("The probe shows 2 faces: the largest was taken"))


@pytest.mark.parametrize("view", [1280], indirect=True)
def test_a_search_for_a_clicked_face_in_a_browser(page, frame, view, tmp_path):
    view.get_by_role("tab", name="Search").click()
    upload(view, frame)
    for number in (2, 1):
        click_face(view, number)
        answer = page.search(frame, None, 5, number)
        shows(view, answer.lines[0])
        shows(view, answer.cards[0].lines[1])
    looked_at(view, tmp_path / "search.png")


def test_a_wrong_file_in_a_browser(folder, view, tmp_path):
    shows(view, re.compile("then press Compare: the answer appears here"))
    upload(view, folder / "notes.png", folder / "known" / "person 1" / "3.png")
    wrong = view.get_by_text("The probe is not an image of a known format")
    wrong.wait_for()  # beside the field
    view.get_by_role("button", name="Compare").click()
    wrong.nth(1).wait_for()
    assert view.get_by_role("button", name="Report of this answer").count() == 0
    assert "Traceback" not in view.inner_text("body")
    looked_at(view, tmp_path / "wrong.png")


def test_a_search_in_a_browser(folder, view, tmp_path):
    view.get_by_role("tab", name="Search").click()
    upload(view, folder / "known" / "person 2" / "4.png")
    view.get_by_role("button", name="Search").click()
    view.get_by_text("a stranger passes for 0.006 on average").wait_for()
    assert "(FAR 1 in 1,000)" in view.inner_text("body")
    assert "person 2" in view.inner_text("body")
    assert len(faces_shown(view)) == 9
    looked_at(view, tmp_path / "search.png")


@pytest.mark.parametrize("view", [390], indirect=True)
def test_a_clip_in_a_browser(clip, view, tmp_path):
    pytest.importorskip("av")
    view.get_by_role("tab", name="A clip").click()
    upload(view, clip)
    view.get_by_role("button", name="Follow").click()
    view.get_by_role("heading", name=re.compile("Track 1: in")).wait_for()
    looked_at(view, tmp_path / "clip.png")


@pytest.mark.parametrize("view", [390], indirect=True)
def test_the_slider_in_a_browser(folder, view, tmp_path):
    view.get_by_role("tab", name="How small?").click()
    upload(view, folder / "known" / "person 0" / "0.png")
    view.get_by_role("button", name="Reduce").click()
    size = MODEL["lr_size"]
    view.get_by_role("heading", name=re.compile(rf"At {size} px: (above|below) the threshold")).wait_for()
    slider = view.locator("input[type=range]:visible")
    slider.focus()
    slider.press("ArrowRight")
    slider.dispatch_event("pointerup")
    view.get_by_role("heading", name=re.compile(rf"At {size + 1} px: (above|below) the threshold")).wait_for()
    looked_at(view, tmp_path / "small.png")


@pytest.mark.parametrize("view", [1280], indirect=True)
def test_the_page_is_reloaded_in_a_browser(folder, view, address):
    assert view.context.cookies()[0] | {"value": ""} == {
        "name": f"rim_page_{address.split('/')[2].partition(':')[2]}",
        "value": "",
        **{"domain": "127.0.0.1", "path": "/", "expires": -1, "httpOnly": True, "secure": False, "sameSite": "Strict"},
    }
    view.reload()
    upload(view, folder / "probe.png", folder / "known" / "person 1" / "3.png")
    view.get_by_role("button", name="Compare").click()
    view.get_by_role("heading", name=re.compile("the threshold")).wait_for()
    stored = "indexedDB.databases().then(all => all.length + localStorage.length + sessionStorage.length)"
    assert view.evaluate(stored) == 0  # no faces in the browser


def test_other_sites_get_nothing_in_a_browser(address, playwright):
    base = address.partition("/?")[0]
    foreign = base.replace("127.0.0.1", "evil.example")
    rebound = "--host-resolver-rules=MAP evil.example 127.0.0.1"  # what rebinding makes of a name
    fetched = """url => fetch(url, {credentials: "include"}).then(answer => answer.text()).catch(error => "nothing")"""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", rebound])
    view = browser.new_page()
    view.goto(address)
    view.get_by_role("button", name="Compare").wait_for()
    assert view.goto(f"{foreign}/").status == 403
    assert view.goto(address.replace("127.0.0.1", "evil.example")).status == 403
    assert "another site" not in view.evaluate(fetched, f"{foreign}/")
    assert view.evaluate(fetched, f"{base}/") == "nothing"  # from a page of evil.example
    view.route("http://site.example/", lambda route: route.fulfill(body=f'<a href="{address}">page</a>'))
    view.goto("http://site.example/")
    view.get_by_text("page").click()  # the printed address opens from a link too
    view.get_by_role("button", name="Compare").wait_for()
    assert view.url == f"{base}/"
    browser.close()
