"""The rows of the paper's tables: the systems that embed the pairs, and the figures that the paper gives."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rim_lightning.comparison.laboratory.readings import BICUBIC, TEACHER, Reading

RIM = Reading("rim", gallery_of=TEACHER)
RIM_FROM_SCRATCH = Reading("rim_from_scratch", gallery_of="arcface")
LANDMARKS = "ibug68"
"""Landmark scheme whose error the tables give."""


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


NOT_REALIGNED = Row("RIM, faces not realigned by its landmarks", Reading("rim_without_realigning", gallery_of=TEACHER))

TABLE_1 = (
    Row("(a) T on bicubic", Reading(TEACHER), {"HR-LR": ".843"}),
    Row("(b) S alone, by people, from T's weights", Reading("vanilla_student"), {"HR-LR": ".687"}),
    Row("(c) T + S: plain distillation", Reading("distillation", gallery_of=TEACHER), {"HR-LR": ".802"}),
    Row("(d) FHN + T", Reading("fhn", probe="sr", gallery_of=TEACHER), {"HR-LR": ".997"}),
    Row("(e) FHN + T + S", Reading("rim", probe="student", gallery_of=TEACHER), {"HR-LR": ".966"}),
    Row("(f) FHN + T + S + A: RIM", RIM, {"HR-LR": ".988"}),
    Row("(g) T, sharp probe", Reading(TEACHER, sharp=True, probe="gallery"), {"HR-HR": ".998"}),
    Row("RIM's FHN + T", Reading("rim", probe="sr", gallery_of=TEACHER)),
    Row("RIM, first the FHN, then S and A", Reading("rim_in_stages", gallery_of=TEACHER)),
    Row("RIM, first the FHN, then S, then A", Reading("rim_in_turn", gallery_of=TEACHER)),
    Row("RIM, the student's loss moves the FHN", Reading("rim_student_teaches", gallery_of=TEACHER)),
    Row("RIM, the identity loss moves the FHN", Reading("rim_with_identity", gallery_of=TEACHER)),
    Row("RIM without priors", Reading("rim_without_priors", gallery_of=TEACHER)),
    NOT_REALIGNED,
    Row("RIM, the loss of f_S + f_A moves A alone", Reading("rim_sum_moves_assistant", gallery_of=TEACHER)),
    Row("RIM without the domain term", Reading("rim_without_domain", gallery_of=TEACHER)),
    Row("RIM, student sees the probe", Reading("rim_student_sees_probe", gallery_of=TEACHER)),
    Row("RIM, student sees the probe and the SR face", Reading("rim_student_sees_both", gallery_of=TEACHER)),
    Row("RIM, assistant sees the SR face", Reading("rim_assistant_sees_sr", gallery_of=TEACHER)),
    Row("RIM, assistant sees SR face and priors", Reading("rim_assistant_sees_priors", gallery_of=TEACHER)),
    Row("RIM, assistant starts from zero", Reading("rim_assistant_from_zero", gallery_of=TEACHER)),
    Row("RIM without the contrastive term", Reading("rim_without_contrastive", gallery_of=TEACHER)),
    Row("RIM with the relational term", Reading("rim_relational", gallery_of=TEACHER)),
    Row("RIM, S and A do not read the size", Reading("rim_without_size", gallery_of=TEACHER)),
    Row("RIM with the terms of the maps (Eq 11, 12)", Reading("rim_of_stages", gallery_of=TEACHER)),
    Row("RIM split in two at T's cost, from random weights, T's head", Reading("rim_split", gallery_of=TEACHER)),
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
    Row("distillation, same tricks", Reading("distillation_more", gallery_of=TEACHER)),
    Row("FHN + teacher", Reading("fhn", probe="sr", gallery_of=TEACHER)),
    Row("RIM, student alone", Reading("rim", probe="student", gallery_of=TEACHER)),
    Row("RIM", RIM, {"HR-HR": ".998", "HR-LR": ".988"}),
)

TRICKS = (
    Row("teacher on bicubic", Reading(TEACHER)),
    Row("plain distillation", Reading("distillation", gallery_of=TEACHER)),
    Row("distillation, same tricks", Reading("distillation_more", gallery_of=TEACHER)),
    Row("distillation, same tricks, wider", Reading("distillation_wide", gallery_of=TEACHER)),
    Row("distillation, same tricks, twins", Reading("distillation_twins", gallery_of=TEACHER)),
    Row("RIM's FHN + teacher", Reading("rim", probe="sr", gallery_of=TEACHER)),
    Row("RIM, student alone", Reading("rim", probe="student", gallery_of=TEACHER)),
    Row("RIM", RIM),
)
SAME_TRICKS = TRICKS[2].reading
CONTROLS = TRICKS[:5]
"""Rows of `TRICKS` without hallucination, of which RIM must beat the best."""

SWEEP = (
    ("teacher", Reading(TEACHER)),
    ("plain distillation", Reading("distillation", gallery_of=TEACHER)),
    ("distillation, same tricks", Reading("distillation_more", gallery_of=TEACHER)),
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
    "fhn_without_attention": ("FHN without attention to components", ""),
    "fhn_without_size": ("FHN that does not read the size", ""),
    "fhn_two_turns": ("FHN, two turns", ""),
    "fhn_consistent": ("FHN whose face, reduced again, is the probe", ""),
    "fhn_with_identity": ("FHN with the identity loss from the start", ""),
    "fhn_one_sided": ("FHN, L_domain moves the coarse side alone, anchored", ""),
    "fhn_with_queue": ("FHN, L_domain among 256 faces of each domain", ""),
    "fhn_on_coarse": ("FHN that adds to the coarse face", ""),
    "fhn_reads_paths": ("FHN whose integrator reads the paths", ""),
    "rim": ("FHN of RIM, on all faces of RIM", ""),
}

HALLUCINATION_PARTS = {system: label for system, (label, _) in TABLE_4.items() if system.startswith(("coarse", "fhn"))}
RECOGNITION_PARTS = {
    SAME_TRICKS.system: "distillation, same tricks",
    "rim": "RIM",
    **{row.reading.system: row.label for row in TABLE_1 if row.reading.system.startswith("rim_")},
}
"""System of the table of parts -> its label."""


def systems_of(readings: Iterable[Reading], *more: str) -> tuple[str, ...]:
    """Return the names of the systems that must be trained for some readings, each once and in order.

    Args:
        readings: Systems that embed the two sides of the pairs.
        *more: Names of systems that are needed besides.
    """
    names = [name for reading in readings for name in (reading.system, reading.gallery_of, reading.sr)]
    return tuple(dict.fromkeys([*(name for name in names if name not in (None, TEACHER, BICUBIC)), "rim", *more]))
