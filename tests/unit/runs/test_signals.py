"""Signals that stop a run."""

import signal
from contextlib import suppress

import pytest

from rim_lightning.runs.signals import SIGNALS, Interrupted, stopped_by_signals


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_library_that_catches_every_error_does_not_swallow_a_signal(signum):
    before = signal.getsignal(signum)
    with (
        pytest.raises(Interrupted, match=f"stopped by {signum.name}") as stop,
        stopped_by_signals(),
        suppress(Exception),
    ):
        signal.raise_signal(signum)
    assert stop.value.signum == signum
    assert signal.getsignal(signum) == before
