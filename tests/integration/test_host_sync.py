"""The host never waits for the device within a training batch: it only queues work."""

import traceback
from functools import partial
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rim_lightning.training.callbacks.ema import WarmedEMA
from rim_lightning.training.deferred import Deferred
from tests.helpers.stores import small_synthetic_store
from tests.helpers.tiny import ALL_WEIGHTS, TWO_VIEWS
from tests.integration.test_fit import data_of, module_of, trainer_of

ONE_NETWORK = {
    "size_input": True,
    "integrator_input": "both",
    "attention": True,
    "coarse_gradient": "trunk",
    "turns": 2,
}
EVERYTHING = {
    "model": TWO_VIEWS | {"hallucination": TWO_VIEWS["hallucination"] | ONE_NETWORK},
    "objective": {"weights": ALL_WEIGHTS, "identity_from": "fhn", "domain_moves": "coarse"},
}
CAMERA = {"degradation": "camera", "misalignment": "detector", "targets": "moved"}

aten = torch.ops.aten
WAITING = {  # what needs a value of the device, or a size that depends on one
    aten._local_scalar_dense.default,
    aten.is_nonzero.default,
    aten.equal.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten._unique2.default,
    aten.unique_consecutive.default,
    aten.unique_dim.default,
}


class Waits(TorchDispatchMode):
    """Records every operation for which a host would have to wait for a GPU."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        by_mask = func in (aten.index.Tensor, aten.index_put_.default, aten.index_put.default) and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if func in WAITING or by_mask:
            self.found.append(f"{func} at {_place()}")
        return func(*args, **(kwargs or {}))


def _place():
    """The innermost lines of Python that led to the operation, this file's left out."""
    lines = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_stack() if f.filename != __file__]
    return " < ".join(lines[:-4:-1])


class WatchBatches(pl.Callback):
    """Puts the training step and the callbacks after it under `Waits`; one comes first for the start, one last."""

    def __init__(self, mode, start):
        self.mode, self.start = mode, start

    def on_train_batch_start(self, *_):
        if self.start:
            self.mode.__enter__()

    def on_train_batch_end(self, *_):
        if not self.start:
            self.mode.__exit__(None, None, None)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return small_synthetic_store(tmp_path_factory.mktemp("store") / "synthetic", people=6, views=4, hr_size=32)


def test_the_recorder_sees_what_waits():
    x = torch.arange(4.0)
    for wait in (lambda: x.sum().item(), lambda: bool(x[0] > 1), lambda: x[x > 1], lambda: x.nonzero()):
        with Waits() as mode:
            wait()
        assert mode.found
    with Waits() as mode:
        x[torch.tensor([1, 2])] = 0.0
        torch.where(x > 1, x, 0.0)
    assert not mode.found


@pytest.mark.parametrize(("alternation", "changes"), [("sequential", EVERYTHING), ("simultaneous", {})])
def test_no_operation_of_a_batch_waits(store, tmp_path, alternation, changes, monkeypatch):
    """Probe sizes are drawn on the host, and `Deferred` is read there: these two are the host's own."""
    monkeypatch.setattr("rim_lightning.training.probes.synthesize_probe", lambda hr, sizes: hr)
    monkeypatch.setattr(Deferred, "read", lambda self: torch.zeros(1))
    monkeypatch.setattr("rim_lightning.training.finite_watch.FiniteWatch.check", lambda self: None)
    mode = Waits()
    module = module_of(alternation=alternation, kind=partial(torch.optim.AdamW, fused=True), **changes)
    callbacks = [WatchBatches(mode, True), WarmedEMA(0.9), WatchBatches(mode, False)]
    trainer_of(tmp_path, 3, callbacks, enable_checkpointing=False).fit(module, data_of(store))
    assert not mode.found, sorted(set(mode.found))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="asks CUDA itself")
@pytest.mark.parametrize(("alternation", "changes"), [("sequential", EVERYTHING | CAMERA), ("simultaneous", {})])
def test_cuda_agrees(store, tmp_path, alternation, changes):
    class Strict(pl.Callback):
        def on_train_batch_start(self, *_):
            torch.cuda.set_sync_debug_mode("error")

        def on_train_batch_end(self, *_):
            torch.cuda.set_sync_debug_mode("default")

    module = module_of(alternation=alternation, kind=partial(torch.optim.AdamW, fused=True), **changes)
    trainer_of(tmp_path, 3, [Strict(), WarmedEMA(0.9)], accelerator="gpu", enable_checkpointing=False).fit(
        module, data_of(store)
    )
