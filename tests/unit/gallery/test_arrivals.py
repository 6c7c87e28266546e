"""Pictures are answered once, when they are complete, also after a restart."""

import os
import zlib

import pytest

from rim_lightning.gallery.arrivals import Arrivals


def names(arrivals, remember=True):
    """Names of the pictures that a poll returns, which are then answered."""
    paths = arrivals.poll()
    for path in paths if remember else ():
        arrivals.remember(path)
    return [path.name for path in paths]


def write(folder, name, content=b"x", changed=None):
    (folder / name).write_bytes(content)
    if changed is not None:
        os.utime(folder / name, ns=(changed, changed))


def test_a_picture_is_answered_once_when_it_has_not_changed_between_two_looks(tmp_path):
    arrivals = Arrivals(tmp_path, "who")
    write(tmp_path, "a.png", b"1", 1)
    assert names(arrivals) == []
    write(tmp_path, "a.png", b"12", 2)  # it is still being written
    assert names(arrivals) == []
    assert names(arrivals) == ["a.png"]
    assert names(arrivals) == []


def test_pictures_come_in_the_order_of_time_and_other_files_never(tmp_path):
    for name, changed in (("b.png", 3), ("a.jpg", 5), ("c.png", 4), ("notes.txt", 1), (".hidden.png", 2)):
        write(tmp_path, name, changed=changed)
    arrivals = Arrivals(tmp_path, "who")
    assert names(arrivals) == []
    assert names(arrivals) == ["b.png", "c.png", "a.jpg"]


def test_after_a_restart_only_new_and_changed_pictures_are_answered(tmp_path):
    for name in ("a.png", "b.png", "gone.png"):
        write(tmp_path, name, changed=1)
    first = Arrivals(tmp_path, "who")
    names(first)
    assert len(names(first)) == 3
    write(tmp_path, "b.png", b"other", 2)
    write(tmp_path, "c.png", changed=3)
    (tmp_path / "gone.png").unlink()
    again = Arrivals(tmp_path, "who")
    assert set(again.answered) == {"a.png", "b.png"}
    names(again)
    assert names(again) == ["b.png", "c.png"]


def test_another_question_has_a_memory_of_its_own(tmp_path):
    write(tmp_path, "a.png", changed=1)
    for question in ("who, in the gallery a", "who, in the gallery b"):
        arrivals = Arrivals(tmp_path, question)
        names(arrivals)
        assert names(arrivals) == ["a.png"]


def test_a_kill_before_the_line_is_whole_asks_again_and_nothing_else(tmp_path):
    for name in ("a.png", "b.png"):
        write(tmp_path, name, changed=1)
    first = Arrivals(tmp_path, "who")
    names(first)
    names(first)
    content = first.memory.read_bytes()
    first.memory.write_bytes(content[:-5])
    again = Arrivals(tmp_path, "who")
    names(again)
    assert names(again) == ["b.png"]
    first.memory.write_bytes(b"\xff\x00 no line\n" + content)
    assert set(Arrivals(tmp_path, "who").answered) == {"a.png", "b.png"}


def test_a_name_of_any_bytes_is_remembered(tmp_path):
    name = os.fsdecode(b"caf\xe9\n.png")
    write(tmp_path, name, changed=1)
    first = Arrivals(tmp_path, "who")
    names(first)
    assert names(first) == [name]
    assert set(Arrivals(tmp_path, "who").answered) == {name}


def test_a_folder_that_is_gone_is_an_error(tmp_path):
    with pytest.raises(NotADirectoryError, match="There is no folder"):
        Arrivals(tmp_path / "none", "who")


@pytest.mark.parametrize("text", ['["a.png", 1]', '"a.png"', '["a.png", "x", 2]', "[[1], 2, 3]", "{}", "nothing"])
def test_a_line_of_somebody_else_does_not_count(tmp_path, text):
    write(tmp_path, "a.png", changed=1)
    memory = Arrivals(tmp_path, "who").memory
    memory.write_text(f"{zlib.crc32(text.encode()):08x} {text}\n")
    again = Arrivals(tmp_path, "who")
    names(again)
    assert names(again) == ["a.png"]


def test_what_a_killed_process_left_is_removed_and_a_pipe_is_not_waited_for(tmp_path):
    memory = Arrivals(tmp_path, "who").memory
    leftover = tmp_path / f".{memory.name}.123.part"
    leftover.touch()
    Arrivals(tmp_path, "who")
    assert not leftover.exists()
    memory.unlink()
    os.mkfifo(memory)
    with pytest.raises(ValueError, match="is a device or a pipe"):
        Arrivals(tmp_path, "who")
