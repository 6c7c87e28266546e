"""Every exception that a user can meet, the sentence it becomes, and the exit code."""

import ast
import errno
import importlib
import multiprocessing
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import click
import pytest
import torch
from hydra.errors import ConfigCompositionException, InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader, Dataset

from rim_lightning import __version__
from rim_lightning.commands.errors import Hints, one_sentence, sentence_of
from rim_lightning.runs.signals import Interrupted
from rim_lightning.training.finite_watch import NonFiniteLoss

COMMANDS = Path(__file__).resolve().parents[3] / "src" / "rim_lightning" / "commands"
HINTS = Hints(dead_loader="add workers=0", interrupted="stopped; the same command resumes")


def raised(call):
    """The exception that a call raises."""
    with pytest.raises(Exception) as caught:  # noqa: PT011, any exception is what is wanted here
        call()
    return caught.value


def missing_value():
    return OmegaConf.create({"source": {"root": "???"}}).source.root


def missing_interpolation():
    return OmegaConf.create({"checkpoint": "???", "title": "${checkpoint}"}).title


def failing(error):
    raise error


class Faulty(Dataset):
    """A data set whose loader process raises or dies."""

    def __init__(self, end):
        self.end = end

    def __len__(self):
        return 2

    def __getitem__(self, index):
        if isinstance(self.end, Exception):
            raise self.end
        os.kill(os.getpid(), self.end)


def loaded(end):
    def load():
        batches = iter(DataLoader(Faulty(end), num_workers=1, multiprocessing_context="fork"))
        try:
            next(batches)
        finally:
            batches._shutdown_workers()  # a loader that is left to the garbage collector waits 5 s for its process

    return load


def built(target, **arguments):
    return lambda: instantiate({"_target_": target, **arguments})


def no_space():
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/last.ckpt")


TABLE = {
    "a setting": (missing_value, 1, "source.root is not set; add source.root=<value> to the command."),
    "an interpolated setting": (
        missing_interpolation,
        1,
        "checkpoint is not set; add checkpoint=<value> to the command.",
    ),
    "a signal": (
        lambda: failing(Interrupted("stopped by SIGUSR1 in epoch 1", 10)),
        138,
        "stopped by SIGUSR1 in epoch 1",
    ),
    "Ctrl-C": (lambda: failing(KeyboardInterrupt()), 130, "stopped; the same command resumes"),
    "Ctrl-C at a prompt": (lambda: failing(click.Abort()), 130, "stopped; the same command resumes"),
    "a missing file": (Path("nowhere/a.png").read_bytes, 1, "nowhere/a.png: No such file or directory"),
    "a file error in our words": (lambda: failing(OSError("a.png is damaged.")), 1, "a.png is damaged."),
    "a full disk": (
        lambda: failing(no_space()),
        1,
        "run/last.ckpt: No space left on device; make room, then repeat the command",
    ),
    "a wrong value": (lambda: failing(ValueError("size is 4.")), 1, "size is 4."),
    "an optional package": (
        lambda: failing(ModuleNotFoundError("No module named 'pyarrow'", name="pyarrow.parquet")),
        1,
        "No module named 'pyarrow': pip install 'rim-lightning[packed]'.",
    ),
    "another package": (
        lambda: __import__("nothing_here"),
        1,
        "No module named 'nothing_here': pip install nothing_here.",
    ),
    "a package in our words": (
        lambda: failing(ImportError("A gallery needs LanceDB: pip install 'rim-lightning[gallery]'.")),
        1,
        "A gallery needs LanceDB: pip install 'rim-lightning[gallery]'.",
    ),
    "a loss": (lambda: failing(NonFiniteLoss("loss is nan in batch 3")), 1, "loss is nan in batch 3"),
    "Lightning": (
        lambda: failing(MisconfigurationException("No supported gpu backend")),
        1,
        "No supported gpu backend",
    ),
    "Hydra": (lambda: failing(ConfigCompositionException("Could not find model/huge")), 1, "Could not find model/huge"),
    "an object with a file": (built("builtins.open", file="nowhere"), 1, "nowhere: No such file or directory"),
    "an unknown argument": (built("fractions.Fraction", top=1), 1, "…got an unexpected keyword argument 'top'"),
    "an unknown object": (built("no_such_package.Thing"), 1, "…No module named 'no_such_package'"),
    "a GPU without memory": (
        lambda: failing(torch.OutOfMemoryError("CUDA out of memory.")),
        1,
        "Out of memory (CUDA out of memory.): use smaller batches.",
    ),
    "a dead loader process": (loaded(9), 1, "…A loader process died (DataLoader worker (pid"),
    "a file in a loader process": (loaded(FileNotFoundError("images.npy is missing.")), 1, "images.npy is missing."),
    "a value in a loader process": (loaded(ValueError("a: b is wrong.")), 1, "a: b is wrong."),
}


@pytest.mark.parametrize("name", TABLE)
def test_what_a_user_can_mend_is_one_sentence(name, capsys):
    call, code, sentence = TABLE[name]
    with pytest.raises(SystemExit) as stop, one_sentence("rim-test", HINTS):
        call()
    said = stop.value.code if code == 1 else capsys.readouterr().err.rstrip("\n")
    assert (1 if isinstance(stop.value.code, str) else stop.value.code) == code
    assert said.startswith("rim-test: ")
    assert "\n" not in said
    assert said == f"rim-test: {sentence}" or (sentence.startswith("…") and sentence[1:] in said)


FAULTS = {
    "a key": (lambda: {}["x"], "KeyError: 'x'"),
    "the network": (lambda: failing(RuntimeError("mat1 and mat2\nshapes")), "RuntimeError: mat1 and mat2 shapes"),
    "a module of ours": (lambda: __import__("rim_lightning.nothing"), "No module named 'rim_lightning.nothing'"),
    "a key in a loader process": (loaded(KeyError("x")), "KeyError"),
    "an error in a loader process": (loaded(RuntimeError("x")), "RuntimeError"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_anything_else_is_a_fault_of_the_program(name, capsys):
    call, what = FAULTS[name]
    with pytest.raises(SystemExit) as stop, one_sentence("rim-test"):
        call()
    assert stop.value.code == 70
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback")
    last = shown.rstrip("\n").splitlines()[-1]
    assert last.startswith("rim-test: this is a fault of the program (")
    assert last.endswith("please report it with the lines above.")
    assert what in last


def test_the_code_of_a_command_may_differ_but_is_never_0(capsys):
    with pytest.raises(SystemExit) as stop, one_sentence("rim", Hints(wrong=2)):
        raise ValueError("no face")
    assert stop.value.code == 2
    assert capsys.readouterr().err == "rim: no face\n"


@pytest.mark.parametrize("error", [SystemExit(3), click.UsageError("no such option"), click.exceptions.Exit(1)])
def test_what_ends_the_program_by_itself_passes(error):
    with pytest.raises(type(error)) as stop, one_sentence("rim-test"):
        raise error
    assert stop.value is error


def test_a_closed_pipe_ends_without_a_word():
    script = (
        "import sys\nfrom rim_lightning.commands.errors import one_sentence\n"
        "with one_sentence('rim-test'):\n    while True: print('line' * 1000)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 130


def test_a_pipe_to_another_process_is_a_file_error():
    def broken():
        ours, theirs = multiprocessing.Pipe()
        theirs.close()
        ours.send("x")

    with pytest.raises(SystemExit) as stop, one_sentence("rim-test"):
        broken()
    assert stop.value.code == "rim-test: the file: Broken pipe"


def test_messages_of_omegaconf_lose_its_objects():
    error = raised(lambda: OmegaConf.create({"a": "${b}"}).a)
    assert sentence_of(error) == "a: Interpolation key 'b' not found"


def test_an_exception_names_itself_where_hydra_says_nothing_else():
    with pytest.raises(SystemExit) as stop, one_sentence("rim-test"):
        raise InstantiationException("Error in call to target\n  'x'")
    assert stop.value.code == "rim-test: Error in call to target 'x'"


def test_handling_errors_imports_nothing_heavy():
    code = "import sys, rim_lightning.commands.errors; print(*sys.modules)"
    loaded_modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "pytorch_lightning", "hydra", "omegaconf", "click"} & set(loaded_modules.split())


def test_the_trace_is_shown_to_whom_asks_for_it(monkeypatch, capsys):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(SystemExit) as stop, one_sentence("rim-test"):
        raise ValueError("size is 4.")
    assert stop.value.code == "rim-test: size is 4."
    assert "Traceback" in capsys.readouterr().err


HANDLERS = {"one_sentence", "hydra_command"}  # the second one uses the first one
SHELLS = ["train", "eval", "prepare", "pack", "embed", "compare", "speed", "speed_row", "sweep"]


def calls(tree):
    return {getattr(node.func, "id", "") for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("command", SHELLS)
def test_every_command_handles_its_errors_here(command):
    tree = ast.parse((COMMANDS / f"{command}.py").read_text())
    assert calls(tree) & HANDLERS
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    assert "one_sentence" in calls(ast.parse((COMMANDS / "hydra_command.py").read_text()))


@pytest.mark.parametrize("command", ["train", "eval", "prepare", "embed", "compare", "speed", "pack", "sweep"])
def test_every_command_knows_its_version(command, capsys, monkeypatch):
    module = importlib.import_module(f"rim_lightning.commands.{command}")
    monkeypatch.setattr(sys, "argv", [f"rim-{command}", "--version"])
    with suppress(SystemExit):
        module.main()
    assert capsys.readouterr().out == f"rim-{command}, version {__version__}\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no device that is full")
@pytest.mark.parametrize(
    "words",
    [
        ("rim.main", "--help"),
        ("rim.main", "--version"),
        ("rim.main", "info", "--json"),
        ("sweep", "--help"),
        ("pack", "--version"),
        ("prepare", "--help"),
    ],
)
def test_an_output_that_is_full_is_named(words):
    command = [sys.executable, "-m", f"rim_lightning.commands.{words[0]}", *words[1:]]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode in (1, 2)
    assert re.fullmatch(
        r"rim[-a-z]*: the output(, or a file that is written)?: No space left on device; make room, then repeat .*\n",
        done.stderr,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be removed")
@pytest.mark.parametrize("words", [("rim.main", "info"), ("sweep", "status", "x"), ("prepare", "source=lfw")])
def test_a_folder_that_was_removed_is_named(words, tmp_path):
    source = "import os, runpy, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); "
    source += (
        f"sys.argv = {['x', *words[1:]]!r}; runpy.run_module('rim_lightning.commands.{words[0]}', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert re.fullmatch(r"rim[-a-z]*: The current folder was removed: change to another one \(cd\)\.\n", done.stderr)


def test_a_file_that_cannot_take_its_place_is_named_and_not_its_part(tmp_path):
    (tmp_path / "part").write_text("")
    (tmp_path / "place").mkdir()
    error = raised(lambda: (tmp_path / "part").replace(tmp_path / "place"))
    assert sentence_of(error).startswith(f"{tmp_path / 'place'}: ")
