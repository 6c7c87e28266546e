import pytest

from rim_lightning.data.downloads import http_file
from tests.helpers.servers import file_server


@pytest.fixture
def server():
    with file_server() as running:
        yield running


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The seconds that a download would have waited; it does not."""
    waited = []
    monkeypatch.setattr(http_file.time, "sleep", waited.append)
    return waited
