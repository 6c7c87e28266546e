"""How a trained model is used: looks that are averaged, a mixture with the teacher, a second look at the gallery."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rim_lightning.functional.degradation import synthesize_probe
from rim_lightning.functional.looks import averaged
from rim_lightning.networks.probe_signals import SIGNALS, probe_signals
from rim_lightning.networks.rim import RIM

LENGTH_TOLERANCE = 0.01
"""How far the length of an embedding may be from 1."""


class SizeCurve(NamedTuple):
    """A number in [0, 1] for every size of a probe: interpolated over the logarithm, constant beyond the ends.

    Attributes:
        sizes: Sides in pixels, ascending.
        values: The number at each of them.
    """

    sizes: tuple[float, ...]
    values: tuple[float, ...]

    def at(self, sizes: Tensor) -> Tensor:
        """Return the number for each size.

        Args:
            sizes: Sides in pixels, (B,).

        Returns:
            (B,) float32, on their device.

        Example:
            >>> SizeCurve((8, 32), (1.0, 0.0)).at(torch.tensor([4.0, 16.0, 99.0]))
            tensor([1.0000, 0.5000, 0.0000])
        """
        place = sizes.double().log()  # operations of torch, because ONNX files hold them too
        number = torch.full_like(place, self.values[0])
        for (low, high), (before, after) in zip(pairwise(self.sizes), pairwise(self.values), strict=True):
            number += (after - before) * ((place - log(low)) / log(high / low)).clamp(0, 1)
        return number.float()


@dataclass(frozen=True)
class Usage:
    """How faces are embedded and compared. The default is one look, by RIM alone, at the sharp gallery face.

    Attributes:
        flip: Average every embedding with that of the mirrored face.
        shift: Distance of four more looks that are averaged, as a share of the side (see `looks`); 0 for none.
        mixture: Weight of RIM in the embedding of a probe; the teacher on the enlarged probe has the rest. None for RIM
            alone.
        reduced_gallery: Weight of the cosine to the gallery face reduced to the size of the probe; the cosine to the
            sharp one has the rest. None for the sharp one alone.

    Raises:
        ValueError: If a setting is out of its range.
    """

    flip: bool = False
    shift: float = 0.0
    mixture: SizeCurve | None = None
    reduced_gallery: SizeCurve | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.shift <= 0.25:
            raise ValueError(f"Looks are moved by 0 to 0.25 of the side, got {self.shift:g}.")
        for name, curve in (("mixture", self.mixture), ("reduced gallery", self.reduced_gallery)):
            if curve is not None:
                _check_curve(name, curve)

    def to_plain(self) -> dict[str, Any]:
        """Return the usage for a JSON file; without what is not used."""
        curves = {"mixture": self.mixture, "reduced_gallery": self.reduced_gallery}
        plain = {name: [list(column) for column in curve] for name, curve in curves.items() if curve is not None}
        return {"flip": self.flip, "shift": self.shift} | plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Usage":
        """Read what `to_plain` returned.

        Raises:
            TypeError: If an entry is unknown, or not of its type.
            ValueError: If a value is out of its range.
        """
        curves = {name: _read_curve(name, plain[name]) for name in ("mixture", "reduced_gallery") if name in plain}
        return cls(**{**plain, **curves})


class FaceEmbedder:
    """Embeds faces by a trained network as a usage says. Nothing here has a gradient.

    Args:
        rim: Trained network, in eval mode.
        usage: How it is used.
    """

    def __init__(self, rim: RIM, usage: Usage) -> None:
        self.rim = rim
        self.usage = usage

    @torch.no_grad()
    def gallery(self, faces: Tensor) -> Tensor:
        """Embed sharp faces.

        Args:
            faces: Aligned faces, (B, 3, S, S), RGB in [-1, 1].

        Returns:
            (B, E) float32, of length 1.
        """
        return averaged(self.rim.embed_gallery, faces, self.usage.flip, self.usage.shift)

    @torch.no_grad()
    def probe(self, enlarged: Tensor, sizes: Tensor) -> Tensor:
        """Embed probes.

        Args:
            enlarged: Aligned probes enlarged to (B, 3, S, S), RGB in [-1, 1].
            sizes: Side of each probe in pixels before it was enlarged, (B,), on the CPU.

        Returns:
            (B, E) float32, of length 1.
        """
        return self._mixed(enlarged, sizes, self.rim.embed_probe)

    @torch.no_grad()
    def probe_with_signals(self, enlarged: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Embed probes, and return the signals of their quality with the same passes of the network.

        Args:
            enlarged: Aligned probes enlarged to (B, 3, S, S), RGB in [-1, 1].
            sizes: Side of each probe in pixels before it was enlarged, (B,), on the CPU.

        Returns:
            What `probe` returns, and the signals of the first look, (B, K) float32 on the CPU, see `probe_signals`; NaN
            where the mixture leaves RIM out.
        """
        looks: list[Tensor] = []

        def embed(faces: Tensor, sizes: Tensor) -> Tensor:
            views = self.rim.views(faces, sizes)
            embeddings = self.rim.hrn.probe(views)
            if not looks:  # the face itself
                looks.append(probe_signals(views, embeddings, sizes).cpu())
            return embeddings

        embeddings = self._mixed(enlarged, sizes, embed)
        mixture = self.usage.mixture
        takes_part = torch.ones(len(sizes), dtype=torch.bool) if mixture is None else mixture.at(sizes) > 0
        signals = torch.full((len(sizes), len(SIGNALS)), torch.nan)
        if looks:
            signals[takes_part] = looks[0]
        return embeddings, signals

    def _mixed(self, enlarged: Tensor, sizes: Tensor, embed_probe: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Embed probes by RIM, and by the teacher if the usage mixes them."""

        def rim_alone(faces: Tensor, sizes: Tensor) -> Tensor:
            return averaged(lambda look: embed_probe(look, sizes), faces, self.usage.flip, self.usage.shift)

        if self.usage.mixture is None:
            return rim_alone(enlarged, sizes)
        weight = self.usage.mixture.at(sizes)  # (B,)
        length: int = self.rim.hrn.embedding_size  # type: ignore[assignment]  # the teacher has a head
        embeddings = enlarged.new_zeros(len(enlarged), length, dtype=torch.float32)
        for embed, share in ((rim_alone, weight), (self._teacher_alone, 1 - weight)):
            rows = share.nonzero().squeeze(1)
            if len(rows):
                part = embed(enlarged[rows.to(enlarged.device)], sizes[rows])
                embeddings[rows.to(enlarged.device)] += share[rows, None].to(part) * part
        return F.normalize(embeddings)

    def reduced_gallery(self, faces: Tensor, size: float) -> Tensor:
        """Embed sharp faces as probes: reduced to the size of a probe.

        Args:
            faces: Aligned faces, (B, 3, S, S), RGB in [-1, 1].
            size: Side of the probe in pixels; more than S counts as S.

        Returns:
            (B, E) float32, of length 1.
        """
        sizes = torch.full((len(faces),), min(round(size), faces.shape[-1]))
        return self.probe(synthesize_probe(faces, sizes), sizes)

    def _teacher_alone(self, enlarged: Tensor, sizes: Tensor) -> Tensor:
        return self.gallery(enlarged)


def check_embeddings(embeddings: Tensor, model: str) -> Tensor:
    """Return embeddings that mean something.

    Args:
        embeddings: (B, E), on the CPU.
        model: Name of the model, for the message.

    Returns:
        The same embeddings.

    Raises:
        ValueError: If one is not of length 1, because the network made NaN, infinity or only zeros of a face.
    """
    if not ((embeddings.norm(dim=1) - 1).abs() < LENGTH_TOLERANCE).all():  # NaN is not below it either
        raise ValueError(
            f"The model {model} makes embeddings of NaN or of no length, which compare as anything: its weights are "
            "damaged, or too large for their precision. Use another model, checkpoint or precision."
        )
    return embeddings


def _read_curve(name: str, columns: Sequence[Sequence[float]]) -> SizeCurve:
    """Return a curve from its sizes and its weights."""
    if len(columns) != 2:
        raise ValueError(f"The {name.replace('_', ' ')} needs two lists, sizes and weights; got {len(columns)}.")
    sizes, values = (tuple(float(number) for number in column) for column in columns)
    return SizeCurve(sizes, values)


def _check_curve(name: str, curve: SizeCurve) -> None:
    """Raise ValueError if a curve is not one number in [0, 1] for each of one or more ascending sizes."""
    sizes, values = curve
    ascending = all(low < high for low, high in zip((0.0, *sizes), sizes, strict=False))
    if not sizes or len(sizes) != len(values) or not ascending or not all(0 <= value <= 1 for value in values):
        raise ValueError(
            f"The {name} needs a weight from 0 to 1 for each of its sizes, which ascend: got sizes {list(sizes)} and "
            f"weights {list(values)}."
        )
