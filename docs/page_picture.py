"""Write the picture of the page in docs/using.md: docs/page.png. Needs the extra page, Playwright and Chromium.

    python docs/page_picture.py

The page compares the astronaut of docs/example (see docs/astronaut.py), reduced to about 20 pixels, with herself.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
ASTRONAUT = DOCS / "example" / "astronaut.png"
REDUCED = 6  # times
COLORS = 128  # of the palette, so that the picture takes few bytes


def picture_of_page(address: str, probe: Path, file: Path) -> None:
    """Compare the probe with the astronaut on the page, and write what it shows.

    Args:
        address: Address of the page, with its token.
        probe: The probe.
        file: PNG file to write.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1100, "height": 800}, color_scheme="light")
        view.goto(address)
        for number, picture in enumerate((probe, ASTRONAUT)):
            view.locator("[role=tabpanel]:visible input[type=file]").nth(number).set_input_files(picture)
            view.get_by_text("One face was found").nth(number).wait_for()
        view.get_by_role("button", name="Compare").click()
        view.get_by_role("heading", name=re.compile("the threshold")).wait_for()
        view.wait_for_timeout(1000)  # until the pictures are shown
        view.screenshot(path=file, full_page=True)
        browser.close()
    Image.open(file).convert("RGB").quantize(COLORS).save(file, optimize=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        reduced = Path(folder) / "probe.png"
        picture = Image.open(ASTRONAUT).convert("RGB")
        picture.reduce(REDUCED).save(reduced)
        command = [sys.executable, "-m", "rim_lightning.commands.rim.main", "page", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as page:
            try:
                picture_of_page(re.search(r"http://\S+", page.stdout.readline())[0], reduced, DOCS / "page.png")
            finally:
                page.terminate()
