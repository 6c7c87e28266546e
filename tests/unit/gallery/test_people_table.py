"""Tables that say who is on which picture."""

from pathlib import Path

import pytest

from rim_lightning.gallery.folder_pictures import picture_set, read_people_table


@pytest.fixture
def people(tmp_path):
    """Write a table beside the pictures a.png, b.png and deep/c.png."""
    (tmp_path / "deep").mkdir()
    for name in ("a.png", "b.png", "deep/c.png"):
        (tmp_path / name).write_bytes(b"not read here")

    def write(text):
        (tmp_path / "people.csv").write_text(text)
        return tmp_path / "people.csv"

    return write


def test_each_row_names_a_picture_and_its_person(people, tmp_path):
    table = people("person;note;picture\nBen;x;deep/c.png\nZoe\u0308;;a.png\n\nBen;again;deep/c.png\nBen;;./b.png\n")
    assert read_people_table(table) == {
        tmp_path / "a.png": "Zo\u00eb",  # the composed form
        tmp_path / "b.png": "Ben",
        tmp_path / "deep/c.png": "Ben",
    }
    pictures = picture_set(table)
    assert pictures.listing.pictures == [tmp_path / "a.png", tmp_path / "b.png", tmp_path / "deep/c.png"]
    assert (pictures.folder, Path(pictures.root)) == (tmp_path, table.resolve())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("picture,name\na.png,Ben\n", " has no columns 'picture' and 'person'; its first line has picture, name."),
        ("", " has no columns 'picture' and 'person'"),
        ("picture,person\n", " names no picture."),
        ("picture,person\na.png,Ben\nb.png, \n", " line 3 names no person: say to which one b.png belongs."),
        ("picture,person\n,Ben\n", " line 2 names '', which can be no image in the folder"),
        ("picture,person\n../a.png,Ben\n", " line 2 names '../a.png', which can be no image in the folder"),
        (
            "picture,person\na.png,Ben\n\nno.png,Ben\n",
            " line 4 names the picture no.png, which does not exist: correct",
        ),
        ("picture,person\ndeep,Ben\n", " line 2 names the picture deep, which is no regular file: correct or remove"),
        ("picture,person\na.png\n", " line 2 has 1 columns where the header has 2."),
        ('picture,person\na.png,"Ben\nAna"\n', "names 'Ben\\\\nAna' as a person. A person needs a name of 1 to 200"),
        (
            "picture,person\na.png,Ben\nb.png,Ben\n./a.png,Ana\n",
            " line 4 names 'Ana' for the picture ./a.png, and line 2 names 'Ben': keep one of the two.",
        ),
    ],
)
def test_a_wrong_table_is_one_sentence_with_its_line(people, text, said):
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        read_people_table(people(text))
    assert str(error.value).startswith(str(people(text)))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_link_to_a_picture_is_the_same_picture(people, tmp_path):
    (tmp_path / "link.png").symlink_to("a.png")
    with pytest.raises(ValueError, match=r"line 3 names 'Ana' for the picture link\.png, and line 2 names 'Ben'"):
        read_people_table(people("picture,person\na.png,Ben\nlink.png,Ana\n"))
