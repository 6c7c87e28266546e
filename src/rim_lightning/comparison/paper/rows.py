"""The rows of the paper's tables: the systems that embed the pairs, and the figures that the paper gives."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rim_lightning.comparison.laboratory.readings import BICUBIC, TEACHER, Reading

RIM = Reading("rim", gallery_of=TEACHER)
RIM_FROM_SCRATCH = Reading("rim_from_scratch", gallery_of="arcface")


class Row(NamedTuple):
    """A row of a verification table.

    Attributes:
        label: Name for people.
        reading: Systems that embed the two sides of the pairs.
        quoted: Column -> figure of the paper.
        rim: The RIM with which "RIM ahead by" compares the row.
    """

    label: str
    reading: Reading
    quoted: Mapping[str, str] = {}
    rim: Reading = RIM


TABLE_1 = (
    Row("(a) T on bicubic", Reading(TEACHER), {"HR-LR": ".843"}),
    Row("(b) S alone, by people, from T's weights", Reading("vanilla_student"), {"HR-LR": ".687"}),
    Row("(c) T + S: plain distillation", Reading("distillation", gallery_of=TEACHER), {"HR-LR": ".802"}),
    Row("(d) FHN + T", Reading("fhn", probe="sr", gallery_of=TEACHER), {"HR-LR": ".997"}),
    Row("(e) FHN + T + S", Reading("rim", probe="student", gallery_of=TEACHER), {"HR-LR": ".966"}),
    Row("(f) FHN + T + S + A: RIM", RIM, {"HR-LR": ".988"}),
    Row("(g) T, sharp probe", Reading(TEACHER, sharp=True, probe="gallery"), {"HR-HR": ".998"}),
    Row("RIM with a joint stage", Reading("rim_with_joint", gallery_of=TEACHER)),
    Row("RIM, FHN after the joint stage + T", Reading("rim_with_joint", probe="sr", gallery_of=TEACHER)),
    Row("RIM without priors", Reading("rim_without_priors", gallery_of=TEACHER)),
    Row("RIM without the domain term", Reading("rim_without_domain", gallery_of=TEACHER)),
    Row("RIM, student and assistant together", Reading("rim_together", gallery_of=TEACHER)),
    Row("RIM split in two at T's cost, from random weights, T's head", Reading("rim_split", gallery_of=TEACHER)),
    Row("RIM, cosine of the stages", Reading("rim_cosine", gallery_of=TEACHER)),
)

TABLE_2 = (
    Row(
        "ArcFace HR-HR",
        Reading(TEACHER, sharp=True, probe="gallery"),
        {"Helen": ".998", "LFW": ".998", "CALFW": ".952", "CPLFW": ".921"},
    ),
    Row(
        "ArcFace HR-SR",
        Reading("fhn", probe="sr", gallery_of=TEACHER),
        {"Helen": ".998", "LFW": ".998", "CALFW": ".950", "CPLFW": ".920"},
    ),
    Row("ArcFace HR-LR", Reading(TEACHER), {"Helen": ".843", "LFW": ".807", "CALFW": ".781", "CPLFW": ".797"}),
    Row("ArcFace LR-LR", Reading(TEACHER, gallery="probe", low_gallery=True)),
    Row("RIM HR-LR", RIM, {"Helen": ".987", "LFW": ".988", "CALFW": ".943", "CPLFW": ".908"}),
    Row("RIM LR-LR", Reading("rim", gallery="probe", low_gallery=True)),
    Row("ArcFace, from scratch, HR-HR", Reading("arcface", sharp=True, probe="gallery"), rim=RIM_FROM_SCRATCH),
    Row("ArcFace, from scratch, HR-SR", Reading("arcface", probe="sr", sr="fhn"), rim=RIM_FROM_SCRATCH),
    Row("ArcFace, from scratch, HR-LR", Reading("arcface"), rim=RIM_FROM_SCRATCH),
    Row(
        "VGGFace2, from scratch, HR-HR",
        Reading("vggface2", sharp=True, probe="gallery"),
        {"LFW": ".994", "CPLFW": ".840"},
        RIM_FROM_SCRATCH,
    ),
    Row(
        "VGGFace2, from scratch, HR-SR",
        Reading("vggface2", probe="sr", sr="fhn"),
        {"LFW": ".990", "CPLFW": ".827"},
        RIM_FROM_SCRATCH,
    ),
    Row("VGGFace2, from scratch, HR-LR", Reading("vggface2"), rim=RIM_FROM_SCRATCH),
    Row(
        "CenterFace, from scratch, HR-HR",
        Reading("centerface", sharp=True, probe="gallery"),
        {"LFW": ".988", "CPLFW": ".775"},
        RIM_FROM_SCRATCH,
    ),
    Row(
        "CenterFace, from scratch, HR-SR",
        Reading("centerface", probe="sr", sr="fhn"),
        {"LFW": ".975", "CPLFW": ".763"},
        RIM_FROM_SCRATCH,
    ),
    Row("CenterFace, from scratch, HR-LR", Reading("centerface"), rim=RIM_FROM_SCRATCH),
    Row("RIM, its teacher from scratch, HR-LR", RIM_FROM_SCRATCH, rim=RIM_FROM_SCRATCH),
)

TABLE_3 = (
    Row("teacher", Reading(TEACHER), {"HR-HR": ".998", "HR-LR": ".843"}),
    Row("vanilla student", Reading("vanilla_student"), {"HR-LR": ".807"}),
    Row("multi-resolution augmentation", Reading("multi_resolution")),
    Row("Staged-CNN", Reading("staged_cnn"), {"HR-HR": ".908", "HR-LR": ".902"}),
    Row("Guided-CNN", Reading("guided_cnn"), {"HR-HR": ".974", "HR-LR": ".938"}),
    Row("plain distillation", Reading("distillation", gallery_of=TEACHER)),
    Row("FHN + teacher", Reading("fhn", probe="sr", gallery_of=TEACHER)),
    Row("RIM, student alone", Reading("rim", probe="student", gallery_of=TEACHER)),
    Row("RIM", RIM, {"HR-HR": ".998", "HR-LR": ".988"}),
)

SWEEP = (
    ("teacher", Reading(TEACHER)),
    ("plain distillation", Reading("distillation", gallery_of=TEACHER)),
    ("RIM", RIM),
)

TABLE_4 = {
    BICUBIC: ("bicubic", "24.965 / .629"),
    "srcnn": ("SRCNN", "25.712 / .713"),
    "vdsr": ("VDSR", "25.613 / .730"),
    "lapsrn": ("LapSRN", "26.380 / .786"),
    "esrgan": ("ESRGAN", "25.607 / .783"),
    "coarse": ("coarse only", ""),
    "fhn_without_priors": ("FHN without priors", ""),
    "fhn_without_domain": ("FHN without the domain term", ""),
    "fhn": ("FHN of RIM", "28.572 / .882"),
    "rim_with_joint": ("FHN of RIM after the joint stage, with more training", ""),
}


def systems_of(readings: Iterable[Reading], *more: str) -> tuple[str, ...]:
    """Return the names of the systems that must be trained for some readings, each once and in order.

    Args:
        readings: Systems that embed the two sides of the pairs.
        *more: Names of systems that are needed besides.
    """
    names = [name for reading in readings for name in (reading.system, reading.gallery_of, reading.sr)]
    return tuple(dict.fromkeys([*(name for name in names if name not in (None, TEACHER, BICUBIC)), "rim", *more]))
