"""Plots that several figures share: panels of curves with one legend."""

from typing import Any

from rim_lightning.plotting import pyplot


def curve_panels(count: int, **options: Any) -> tuple[Any, Any]:
    """Make a figure with a row of panels. Curves differ by color, then by dashes.

    Args:
        count: Number of panels.
        **options: Options of `pyplot.subplots`.

    Returns:
        The figure and its axes.
    """
    plt = pyplot()
    figure, axes = plt.subplots(1, count, figsize=(5.5 * count, 5), squeeze=False, layout="constrained", **options)
    for axis in axes[0]:
        axis.set_prop_cycle(plt.cycler(linestyle=["-", "--", ":"]) * plt.cycler(color=plt.get_cmap("tab10").colors))
    return figure, axes[0]


def common_legend(figure: Any) -> None:
    """Add one legend below a figure, with each label once."""
    curves: dict[str, object] = {}
    for axis in figure.axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            curves.setdefault(label, handle)
    figure.legend(curves.values(), curves.keys(), loc="outside lower center", ncols=4, fontsize=7)
