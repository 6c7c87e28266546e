"""Wrong settings of rim-compare get one sentence before anything is prepared or trained."""

from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.comparison.run import _protocol, run


def test_what_a_minute_is_stands_above_every_table():
    plan = SimpleNamespace(budget=12, hallucination_share=0.25, search_share=0.2)
    told = {
        accelerator: _protocol(
            SimpleNamespace(plan=plan, laboratory=SimpleNamespace(lr_size=16), accelerator=accelerator, hr_size=128)
        )[0]
        for accelerator in ("cpu", "gpu")
    }
    assert told["cpu"].startswith("Budget: 12 CPU minutes of one thread for each recognition system, 3 for each")
    assert told["gpu"].startswith("Budget: 12 GPU minutes for each")
    assert "may share the GPU" in told["gpu"]


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        cfg = compose("compare", overrides=["table=3", "measure_on=gpu", "paths.output_dir=unused"])
        with pytest.raises(ValueError, match="PyTorch finds no CUDA device here: set measure_on=cpu"):
            run(cfg)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["detailed=CALFW"], 'detailed is "CALFW", a set that is not there; choose from LFW, LFW_random, Helen.'),
        (["detailed=MegaFace"], 'detailed is "MegaFace"'),
        (["pairs.LFW.kind=all"], 'The pairs LFW are of kind "all"; choose from listed, random, mirrored, sampled.'),
        (["flip=true"], "set pairs.Helen=null"),
        (["parallel=0"], "parallel is 0"),
        (["measure_on=tpu"], 'measure_on is "tpu"; choose from cpu, gpu'),
        (["+systems.srcnn.budget=3"], "The system srcnn has the setting budget; give kind, experiment"),
        (
            ["systems.srcnn.kind=vision"],
            'The system srcnn is of kind "vision"; choose from hallucination, recognition, scratch.',
        ),
        (["systems.rim.after=gan"], "The system rim names gan as after, which is not under systems."),
        (["settings=['teacher.weights=null']"], "A comparison needs a teacher"),
    ],
)
def test_settings_are_checked_first(tmp_path, overrides, sentence):
    places = [f"paths.{name}_dir={tmp_path / name}" for name in ("data", "results", "prepared", "output")]
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        cfg = compose("compare", overrides=["table=3", *places, *overrides])
        with pytest.raises(ValueError) as error:
            run(cfg)
    assert sentence in str(error.value)
    assert not (tmp_path / "results").exists()
