"""One file from Google Drive, by the package gdown: it answers the page that asks before a large file."""

from pathlib import Path
from urllib.parse import urlsplit

from rim_lightning.data.downloads.http_file import ATTEMPTS, SILENCE
from rim_lightning.extras import require_extra
from rim_lightning.runs.progress import progress_bar


def is_drive(url: str) -> bool:
    """Return True for an address of Google Drive.

    Example:
        >>> is_drive("https://drive.google.com/uc?id=abc"), is_drive("https://example.org/drive.google.com")
        (True, False)
    """
    return urlsplit(url).hostname in ("drive.google.com", "docs.google.com")


def receive_drive(url: str, received: Path, advice: str) -> None:
    """Receive a file from Google Drive. What an earlier call received is continued.

    Args:
        url: Address of the file there.
        received: Where it goes. It appears there when it is whole; its parts lie beside it.
        advice: What the user can do if that does not work.

    Raises:
        MissingExtra: If gdown is not installed.
        ValueError: If Google does not hand out the file.
        OSError: If the network fails, or the disk is full. What has been received stays.
    """
    require_extra("download", "Google Drive")
    import gdown  # an extra

    with progress_bar(unit="B", unit_scale=True, unit_divisor=1024, desc=received.stem.lstrip(".")) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        try:
            gdown.download(
                url=url,
                output=str(received),
                quiet=True,
                use_cookies=False,
                resume=True,
                progress=show,
                timeout=SILENCE,
                retries=ATTEMPTS - 1,
            )
        except gdown.exceptions.FileURLRetrievalError as error:
            raise ValueError(
                f"Google Drive does not hand out {url}: too many people may have asked for it today, or it has moved; "
                f"repeat the command tomorrow, or {advice}."
            ) from error
        except gdown.exceptions.DownloadError as error:
            reason = _one_line(error)
            raise OSError(
                f"{url} was not received ({reason}): repeat the command, to begin anew without {received}*.part, "
                f"or {advice}."
            ) from error
        except OSError as error:
            if error.errno is not None:  # of the disk; those of the network have no number
                raise
            reason = _one_line(error)
            raise OSError(
                f"{url} was not received ({reason}): check the connection and repeat, or {advice}."
            ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
