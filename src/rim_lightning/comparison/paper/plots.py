"""The figures of the paper: faces side by side, CSD curves, ROC curves."""

from pathlib import Path

from rim_lightning.plotting import pyplot


def _curves(panels: int, **options):
    """A figure and its axes in a row, whose colors are told apart by dashes once they repeat."""
    plt = pyplot()
    figure, axes = plt.subplots(1, panels, figsize=(5.5 * panels, 5), squeeze=False, layout="constrained", **options)
    for axis in axes[0]:
        axis.set_prop_cycle(plt.cycler(linestyle=["-", "--", ":"]) * plt.cycler(color=plt.get_cmap("tab10").colors))
    return figure, axes[0]


def _legend(figure) -> None:
    curves: dict[str, object] = {}
    for axis in figure.axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            curves.setdefault(label, handle)
    figure.legend(curves.values(), curves.keys(), loc="outside lower center", ncols=4, fontsize=7)


def _save(figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot().close(figure)
