"""Names of any letters in plots."""

import warnings

import pytest

from rim_lightning.plotting import plain_label, pyplot, save_figure


@pytest.mark.parametrize("name", [r"$\frac$", "_hidden", "系统", "a$b$c", "two\nlines"])
def test_any_name_is_a_label(tmp_path, name):
    figure, axis = pyplot().subplots()
    axis.plot([0, 1], label=plain_label(name))
    axis.legend()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(figure, tmp_path / "x.png")
    (text,) = axis.get_legend().get_texts()
    assert text.get_text().strip().replace(r"\$", "$") == name.replace("\n", r"\n")
