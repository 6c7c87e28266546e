"""What is given to others tells neither where files lie on the machine that made it, nor its name."""

import getpass
import shutil
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import rim_lightning
from rim_lightning.commands.rim.main import main
from rim_lightning.data.stores.packed import pack
from rim_lightning.data.stores.prepared import PreparedStore
from rim_lightning.files import without_folders
from rim_lightning.training.run import train
from tests.integration.test_configs import QUICK, composed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ana/faces", "…/faces"),
        ("data/faces", "data/faces"),
        ("../shared/data", "../shared/data"),
        ("sr/helen/psnr_y", "sr/helen/psnr_y"),
        ("sqlite:///search.db", "sqlite:///search.db"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("data.stores={a: /x/y, b: '/home/ana b/z'}", "data.stores={a: …/y, b: '…/z'}"),
        ("a=[/x/y,/z]", "a=[…/y,…/z]"),
        (r"C:\Users\ana\faces", "…/faces"),
        ("1/2 and / alone", "1/2 and …/ alone"),
    ],
)
def test_absolute_paths_become_names(text, shown):
    assert without_folders(text) == shown
    assert without_folders({"a": [text, 1, None]}) == {"a": [shown, 1, None]}


def traces_of(folder: Path, *files: Path) -> dict[str, list[str]]:
    """File -> which private words it holds: folders, name of the user, of the machine if it is no common word."""
    words = [str(folder), str(Path(rim_lightning.__file__).parents[2]), sys.prefix, sys.base_prefix]
    words += [name for name in (f"/home/{getpass.getuser()}", socket.gethostname()) if len(name) > 5]
    found = {}
    for file in files:
        for path in [file] if file.is_file() else [path for path in sorted(file.rglob("*")) if path.is_file()]:
            content = path.read_bytes()
            if hits := [word for word in words if word.encode() in content]:
                found[str(path.relative_to(folder))] = hits
    return found


@pytest.mark.slow
def test_what_a_run_gives_to_others_has_no_folders(tmp_path, monkeypatch):
    import wandb

    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setattr(sys, "argv", ["rim-train", f"paths.prepared_dir={tmp_path / 'prepared'}"])
    folder = tmp_path / "run"
    settings = [*QUICK, f"paths.prepared_dir={tmp_path / 'prepared'}", "logger=wandb", "logger.wandb.offline=true"]
    train(composed(*settings, "schedule.stages=[{name: fhn, epochs: 1}]", folder=folder), settings)
    wandb.finish()
    (offline,) = (folder / "wandb").glob("offline-run-*")
    shutil.rmtree(offline / "logs")  # stay here
    store = next((tmp_path / "prepared").glob("synthetic_*"))
    pack(PreparedStore(store), tmp_path / "packed", progress=False)
    checkpoint = folder / "checkpoints" / "last.ckpt"
    options = ["--people", str(store), "--split", "train"]
    done = CliRunner().invoke(main, ["export", str(checkpoint), str(tmp_path / "model"), *options])
    assert done.exit_code == 0, done.output
    assert list((tmp_path / "model").glob("*.onnx"))
    given = [offline, folder / "checkpoints", folder / "csv", store, tmp_path / "packed", tmp_path / "model"]
    assert traces_of(tmp_path, *given, *folder.glob("*.md"), folder / "metrics.json") == {}
    assert "run/config.yaml" in traces_of(tmp_path, folder / "config.yaml")  # what resumes the run here has them
