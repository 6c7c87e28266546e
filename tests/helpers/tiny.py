"""Tiny networks and batches that the tests of the training step share."""

import torch

from rim_lightning.data.augmentation import FaceAugmentation
from rim_lightning.losses.contrastive import ContrastiveLoss
from rim_lightning.losses.distillation import StageDistillation
from rim_lightning.losses.domain import DomainLoss
from rim_lightning.losses.landmark import LandmarkLoss
from rim_lightning.losses.parsing import ParsingLoss
from rim_lightning.losses.pixel import PixelLoss
from rim_lightning.training.objective import Objective
from rim_lightning.training.probes import ProbeSampling
from rim_lightning.training.schedule import Schedule
from rim_lightning.types import FaceBatch

BACKBONE = {
    "name": "mobilefacenet",
    "width": 8,
    "blocks": (1, 1, 1),
    "embedding_size": 16,
    "input_size": 32,
    "normalization": "none",
}

MODEL = {
    "hr_size": 32,
    "lr_size": 8,
    "schemes": {"ibug68": 68},
    "hallucination": {
        "coarse": {"reduction": 4, "pool": 2, "widths": [8, 8, 8], "blocks": [1, 1, 0], "factors": [2, 2]},
        "generator": {"global_width": 8, "prior_width": 8, "blocks": 1, "prior_blocks": 1, "hourglass": 1},
        "integrator": {"widths": [8, 8, 8], "blocks": [1, 0, 0], "factors": [2, 2]},
    },
    "discriminator": {"width": 8, "embedding_size": 8},
    "recognition": {"teacher": BACKBONE, "student": BACKBONE, "assistant": BACKBONE},
}

SIGHTS = {"student_sees": "both", "assistant_sees": "sr_and_priors", "size_input": True, "realign": True}
TWO_VIEWS = MODEL | {"recognition": {**MODEL["recognition"], **SIGHTS}}

WEIGHTS = {
    "hallucination": {
        "pixel": 1.0,
        "coarse": 0.5,
        "landmark": 2.0,
        "parsing": 0.3,
        "domain": 0.7,
        "rebuild": 0.25,
        "identity": 0.4,
        "student": 0.2,
    },
    "student": {"stage": 1.0, "embedding": 0.5, "contrastive": 0.0, "relational": 0.0},
    "assistant": {"residual": 1.0, "embedding": 0.5, "contrastive": 0.0, "relational": 0.0},
}

MORE_TERMS = {"contrastive": 0.2, "relational": 3.0}
ALL_WEIGHTS = WEIGHTS | {phase: WEIGHTS[phase] | MORE_TERMS for phase in ("student", "assistant")}


def domain_loss(**changes) -> DomainLoss:
    """The domain loss with the settings of conf/objective/base.yaml."""
    settings = {"estimator": "unbiased", "bandwidth": "median", "multipliers": (0.25, 0.5, 1.0, 2.0, 4.0)}
    return DomainLoss(**(settings | {"smoothing": 0.0, "learned_weights": False} | changes))


def augmentation(hr_size: int, **changes) -> FaceAugmentation:
    """The augmentation with the settings of conf/data/faces.yaml."""
    settings = {"flip": 0.5, "rotation": 10.0, "scale": 0.1, "shift": 0.05, "brightness": 0.15, "contrast": 0.15}
    return FaceAugmentation(hr_size, **(settings | {"gamma": 0.15, "hue": 8.0, "photometric": 0.5} | changes))


def objective(**changes) -> Objective:
    """All losses with non-zero weights."""
    parts = {
        "pixel": PixelLoss("l2"),
        "landmark": LandmarkLoss(1.0, "mse"),
        "parsing": ParsingLoss(),
        "domain": domain_loss(),
        "stages": StageDistillation("l2", normalize=True),
        "contrastive": ContrastiveLoss(16.0),
        "weights": WEIGHTS,
        "student_stages": (4,),
        "identity_from": "joint",
        "domain_moves": "both",
        "sum_moves": "assistant",
        "assistant_stage_weights": (1, 1, 1, 1),
    }
    return Objective(**(parts | changes))


def schedule(stages, warmup: float = 0.0, final: float = 1.0) -> Schedule:
    """Constant learning rates."""
    return Schedule(stages, warmup, final)


def probes(**changes) -> ProbeSampling:
    """Probes of 4 to 12 px, half of them of 8 px."""
    settings = {"nominal": 8, "nominal_share": 0.5, "low": 4, "high": 12, "degradation": "bicubic", "seed": 0}
    settings |= {"misalignment": None, "aligned_share": 0.5, "camera_validation": False, "targets": "aligned"}
    return ProbeSampling(**(settings | changes))


def batch(size: int = 4, seed: int = 0, dtype: torch.dtype = torch.float32) -> FaceBatch:
    """Random faces of 32 px; the first two have landmarks, the last two parsing."""
    generator = torch.Generator().manual_seed(seed)
    landmarks = 32 * torch.rand(size, 68, 2, generator=generator, dtype=dtype)
    landmarks[size // 2 :] = float("nan")
    parsing = torch.randint(0, 11, (size, 32, 32), generator=generator).to(torch.uint8)
    parsing[: size // 2] = 255
    return FaceBatch(
        hr=2 * torch.rand(size, 3, 32, 32, generator=generator, dtype=dtype) - 1,
        landmarks={"ibug68": landmarks},
        parsing=parsing,
        identity=torch.arange(size) // 2,
        index=torch.arange(size),
    )


def perturbed(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Every trainable parameter moved a little, so that layers which start at zero pass gradient on."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter)
    return module
