"""Settings whose names have changed are refused, not ignored."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rim_lightning.commands.config_path import CONF_DIR
from rim_lightning.commands.train import RENAMED, check_names


@pytest.mark.parametrize("old", RENAMED)
def test_a_setting_of_the_first_version_is_refused_by_its_new_name(old):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        cfg, good = (compose("train", overrides=["paths.output_dir=unused", *more]) for more in ([f"+{old}=1"], []))
    with pytest.raises(ValueError, match=rf"^{old} is called {RENAMED[old]} in this version: give {RENAMED[old]}="):
        check_names(cfg)
    check_names(good)
    assert OmegaConf.select(good, RENAMED[old], default="no such setting") != "no such setting"
