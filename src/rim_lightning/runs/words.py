"""Words for people in place of the keys of figures."""

import re

PHASES = {
    "hallucination": "hallucination network",
    "domain": "domain discriminator",
    "student": "student",
    "assistant": "assistant",
    "learner": "recognizer",
    "super_resolver": "super-resolution network",
    "discriminator": "discriminator",
}
"""Phase of the training -> the network that it trains."""

TERMS = {
    "loss": "weighted sum",
    "pixel": "pixels of the hallucinated face",
    "coarse": "pixels of the coarse face",
    "landmark": "landmark heatmaps",
    "parsing": "face parsing",
    "domain": "domain distance (MK-MMD)",
    "identity": "identity (teacher's embedding)",
    "student": "loss of the student",
    "stage": "feature maps of the teacher",
    "embedding": "embedding of the teacher",
    "contrastive": "own face among all training faces",
    "relational": "angles between faces",
    "residual": "residual feature maps",
    "classification": "classification of people",
    "adversarial": "adversarial",
    "perceptual": "perceptual",
}
"""Term of a loss -> what it compares."""

SYSTEMS = {
    "teacher": "the teacher",
    "teacher_bicubic": "the teacher on bicubic",
    "teacher_sr": "the teacher on the hallucinated face",
    "student": "the student",
    "rim": "RIM",
    "mixture": "RIM mixed with the teacher by size",
    "reduced_gallery": "RIM and the reduced gallery face",
    "recognizer": "the recognizer",
}
"""Key of a system -> its name."""

IMAGES = {"sr": "the hallucinated face", "coarse": "the coarse face", "bicubic": "bicubic enlargement"}
"""Key of an image -> its name."""

QUALITY = {"psnr": ("PSNR", " (dB)"), "ssim": ("SSIM", "")}
RECOGNITION = {"accuracy": "verification accuracy", "auc": "area under the ROC", "eer": "equal error rate"}


def phase_in_words(phase: str) -> str:
    """Return the network that a phase trains."""
    return PHASES.get(phase, phase.replace("_", " "))


def term_in_words(term: str) -> str:
    """Return what a term of a loss compares."""
    return TERMS.get(term, term.replace("_", " ").replace("/", ", "))


def in_words(key: str) -> str:
    """Return a figure of `metrics.json` or of the log in words; the key itself if it is not known.

    Example:
        >>> in_words("val/sr/psnr_y")
        'PSNR of the hallucinated face (dB)'
        >>> in_words("val/nme/ibug68_constant")
        'landmark error, % of the eye distance, the mean shape for every face (ibug68)'
        >>> in_words("verification/lfw/16/rim/accuracy")
        'verification accuracy of RIM, lfw at 16 px'
    """
    if match := re.fullmatch(r"train/([^/]+)/(.+)", key):
        return f"{phase_in_words(match[1])}: {term_in_words(match[2])}"
    if match := re.fullmatch(r"val/(sr|coarse|bicubic)/(psnr|ssim)(?:_\w+)?", key):
        name, unit = QUALITY[match[2]]
        return f"{name} of {IMAGES[match[1]]}{unit}"
    if match := re.fullmatch(r"sr/([^/]+)/(?:(coarse|bicubic)/)?(psnr|ssim)(?:_y|_rgb)?", key):
        name, unit = QUALITY[match[3]]
        return f"{name} of {IMAGES[match[2] or 'sr']}, {match[1]}{unit}"
    if match := re.fullmatch(r"(?:val|sr/([^/]+))/psnr_gain(?:_y|_rgb)?", key):
        return f"PSNR gain over bicubic{_of(match[1])} (dB)"
    if match := re.fullmatch(r"(?:val|sr/([^/]+))/(nme|miou)(_hr)?(?:/(\w+?))?(_constant)?", key):
        what = "landmark error, % of the eye distance" if match[2] == "nme" else "mean IoU of face parsing"
        if match[5]:
            same = "the mean shape for every face" if match[2] == "nme" else "the most frequent class for every face"
            return f"{what}{_of(match[1])}, {same}{f' ({match[4]})' if match[4] else ''}"
        return f"{what}{_of(match[1])}, {'sharp face' if match[3] else 'probe'}{f' ({match[4]})' if match[4] else ''}"
    if match := re.fullmatch(r"val/camera/(\w+)/(accuracy|auc|eer)", key):
        return f"{RECOGNITION[match[2]]} of {SYSTEMS.get(match[1], match[1])}, probes of cameras"
    if match := re.fullmatch(r"(?:val|verification/([^/]+)/(\d+|hr))/(\w+)/(accuracy|auc|eer)", key):
        size = "" if match[2] is None else " with sharp probes" if match[2] == "hr" else f" at {match[2]} px"
        return f"{RECOGNITION[match[4]]} of {SYSTEMS.get(match[3], match[3])}{_of(match[1])}{size}"
    return key


def _of(name: str | None) -> str:
    return "" if name is None else f", {name}"
