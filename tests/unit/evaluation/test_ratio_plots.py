"""Plots of likelihood ratios: the shares that they show, and the curves of a figure."""

import numpy as np
import pytest

from rim_lightning.evaluation import ratio_plots
from rim_lightning.evaluation.ratio_plots import RatedPairs, plot_ratios
from rim_lightning.functional.likelihood_ratio import BoundedRatio, cllr, cllr_min


def test_shares_by_hand():
    ratios, shares = ratio_plots._tippett(np.array([2.0, -1.0, 0.0, 0.0]))
    assert dict(zip(ratios.tolist(), shares.tolist(), strict=False)) == {-1: 1, 0: 0.75, 2: 0.25}


def test_the_figure_shows_both_kinds_of_pairs_and_the_costs(monkeypatch, tmp_path):
    random = np.random.default_rng(0)
    same = np.arange(600) < 200
    scores = np.where(same, 0.6, 0.2) + random.normal(0, 0.2, 600)
    ratio = BoundedRatio(-4.0, 10.0, 1.0)
    kept = {}
    monkeypatch.setattr(ratio_plots, "save_figure", lambda figure, path: kept.update(figure=figure, path=path))
    plot_ratios(tmp_path / "ratios.png", {"16 px": RatedPairs(scores, same, ratio)}, "made up")
    assert kept["path"] == tmp_path / "ratios.png"
    tippett, entropy = kept["figure"].axes
    genuine, impostors = (line.get_xydata() for line in tippett.get_lines()[:2])
    for curve, kind in ((genuine, same), (impostors, ~same)):
        at_zero = curve[curve[:, 0] >= 0][0, 1]  # the share at the first ratio of at least 1
        assert at_zero == pytest.approx((ratio.log10(scores[kind]) >= 0).mean())
    fitted, best, nothing = (dict(line.get_xydata().tolist()) for line in entropy.get_lines())
    assert fitted[0] == pytest.approx(cllr(ratio.log10(scores), same))
    assert best[0] == pytest.approx(cllr_min(scores, same))
    assert nothing[0] == 1
