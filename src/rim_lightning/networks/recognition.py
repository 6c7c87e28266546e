"""The heterogeneous recognition network (HRN): frozen teacher, student and assistant."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rim_lightning.functional.heatmaps import component_maps
from rim_lightning.functional.realignment import realigned
from rim_lightning.functional.resize import resized
from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.networks.backbones.build import build_backbone, with_further_channels
from rim_lightning.networks.backbones.frozen import FrozenTeacher
from rim_lightning.networks.backbones.input import fill_from_rgb
from rim_lightning.networks.hallucination.paths import Priors
from rim_lightning.networks.probe_size import with_size
from rim_lightning.schemes import HELEN11, LANDMARK_SCHEMES

Head = Literal["teacher", "student", "own", "flatten"]
"""What makes an embedding of the last stage maps, see `RecognitionNetwork`."""


StudentSight = Literal["sr", "probe", "both"]
AssistantSight = Literal["sr", "probe", "sr_and_priors"]
"""What student and assistant look at, see `RecognitionNetwork`."""


class ProbeViews(NamedTuple):
    """What student and assistant can look at: views of B probes. Those that nobody looks at may be None.

    Attributes:
        sr: Hallucinated faces I_sr, (B, 3, S, S), RGB around [-1, 1].
        enlarged: Probes enlarged to (B, 3, S, S), RGB in [-1, 1].
        sizes: Side of each probe in pixels before it was enlarged, (B,).
        priors: Priors of the probes.
    """

    sr: Tensor | None = None
    enlarged: Tensor | None = None
    sizes: Tensor | None = None
    priors: Priors | None = None

    def select(self, chosen: Tensor) -> "ProbeViews":
        """Return the views of the probes for which `chosen`, (B,) bool, is True."""
        sr, enlarged, sizes = (None if view is None else view[chosen.to(view.device)] for view in self[:3])
        priors = self.priors
        if priors is not None:
            heatmaps = {scheme: maps[chosen] for scheme, maps in priors.heatmaps.items()}
            features, logits = priors.features[chosen], priors.parsing_logits[chosen]
            priors = priors._replace(features=features, heatmaps=heatmaps, parsing_logits=logits)
        return ProbeViews(sr, enlarged, sizes, priors)


class RecognitionNetwork(nn.Module):
    """HRN: an embedding of f_S^K + f_A^K for a probe, and of f_T^K for a gallery face.

    If the channels of the student's or assistant's maps differ from the teacher's, a 1x1 convolution projects them. The
    teacher's maps are never projected: a learned projection of the target would collapse to zero.

    Args:
        teacher: Name and arguments of its backbone, {"name": ..., ...}. Its stage maps are the target.
        student: Name and arguments of its backbone. Its stage maps have the sizes of the teacher's.
        assistant: Name and arguments of its backbone. Its stage maps have the sizes of the teacher's.
        head: "teacher": the head of the frozen teacher reads f_S^K + f_A^K. "student": the head of the student reads
            it and learns. "own": student and assistant keep their heads, and the embeddings are summed (authors' code).
            "flatten": the maps themselves are the embedding.
        assistant_from_zero: Start the maps of the assistant at zero, by a 1x1 convolution of zeros after each stage, so
            that the sum starts as the student. (A factor for each channel would start at zero too, but grows only as
            fast as the learning rate, and the assistant stays at nothing.)
        student_sees: "sr": the hallucinated face (the paper). "probe": the enlarged probe, which makes the student a
            plainly distilled one. "both": the probe, and the hallucinated face in three more channels.
        assistant_sees: "sr": the hallucinated face (the paper). "probe": the enlarged probe. "sr_and_priors": the
            hallucinated face, and in more channels maps of the parts of the face and the probabilities of the parsing
            classes, without gradient.
        size_input: Student and assistant read the size of the probe in one more channel (`with_size`).
        realign: What student and assistant look at is moved to the template of aligned faces by the landmarks of the
            hallucination network, as far as a detector errs (`functional.realignment`).
        lr_size: Nominal side of a probe in pixels; needed with `size_input`.
        schemes: Names of the landmark schemes of the priors. Faces are realigned by the first one.

    The weights of channels behind RGB start at zero, so that all start as if they saw their first view alone.

    Attributes:
        embedding_size: Length E of the embedding.
        size_input: True if the size of the probe is read.

    Raises:
        ValueError: If the sizes of the stage maps differ from the teacher's, the head or a view is unknown, the nominal
            size is needed and missing, the student does not read what has the landmarks to realign by, the channels
            or the embedding of the student's head differ from the teacher's, or the teacher has no stage maps and the
            head or a learner needs them.
    """

    def __init__(  # noqa: PLR0913  every argument stands in checkpoints, which could not be loaded without it
        self,
        teacher: Mapping[str, Any],
        student: Mapping[str, Any],
        assistant: Mapping[str, Any],
        head: Head = "teacher",
        assistant_from_zero: bool = True,
        student_sees: StudentSight = "sr",
        assistant_sees: AssistantSight = "sr",
        size_input: bool = False,
        realign: bool = False,
        lr_size: int | None = None,
        schemes: Sequence[str] = (),
    ) -> None:
        super().__init__()
        for name, view, views in (
            ("student_sees", student_sees, get_args(StudentSight)),
            ("assistant_sees", assistant_sees, get_args(AssistantSight)),
        ):
            if view not in views:
                raise ValueError(f'{name} must be one of {", ".join(views)}, got "{view}".')
        if size_input and lr_size is None:
            raise ValueError("A network that takes the size of the probe needs its nominal size: give lr_size.")
        self.student_sees, self.assistant_sees = student_sees, assistant_sees
        self.size_input, self.lr_size = size_input, lr_size
        self.realign, self.schemes = realign, tuple(schemes)
        if realign and not (self.reads_sr(False) and schemes):
            raise ValueError(
                "Faces are realigned by landmarks of the hallucination network, but the student does not read it or it "
                "has no schemes of landmarks: set student_sees to sr or both and name a scheme, or set realign=false."
            )
        priors = sum(len(LANDMARK_SCHEMES[scheme].components) for scheme in schemes) + len(HELEN11.classes)
        further = {"both": 3, "sr_and_priors": priors}
        student, assistant = (
            with_further_channels(backbone, further.get(view, 0) + size_input)
            for backbone, view in ((student, student_sees), (assistant, assistant_sees))
        )
        if head not in get_args(Head):
            raise ValueError(f'head must be one of {", ".join(get_args(Head))}, got "{head}".')
        self.head = head
        self.teacher = FrozenTeacher(build_backbone(**teacher))
        student_network = build_backbone(**student)
        self._check_maps(student_network)
        # Whose shapes the maps of student and assistant have: without maps of the teacher, the student's.
        shapes = self.teacher if self.teacher.has_maps else student_network
        channels, side = shapes.stage_channels[-1], shapes.stage_sizes[-1]
        self.embedding_size = channels * side**2 if head == "flatten" else self.teacher.embedding_size
        self.student = Learner(student_network, shapes, keep_head=head in ("student", "own"), from_zero=False)
        self._check_head(channels)
        assistant_network = build_backbone(**assistant)
        self._check_maps(assistant_network)
        self.assistant = Learner(assistant_network, shapes, keep_head=head == "own", from_zero=assistant_from_zero)

    def _check_head(self, channels: int) -> None:
        """Raise ValueError if the student's head does not fit maps of these channels or the teacher's embedding."""
        student_channels = self.student.backbone.stage_channels[-1]
        if self.head == "student" and student_channels != channels:
            raise ValueError(
                f"The student's head would read maps of the teacher's {channels} channels, its own have "
                f'{student_channels}: set head to "teacher".'
            )
        if self.head in ("student", "own") and self.student.backbone.embedding_size != self.teacher.embedding_size:
            raise ValueError(
                f"The student's embedding has {self.student.backbone.embedding_size} numbers, the teacher's has "
                f"{self.teacher.embedding_size}: give both the same embedding_size."
            )

    def _check_maps(self, learner: Backbone) -> None:
        """Raise ValueError if stage maps are needed that the teacher, or the student or assistant, does not have."""
        if not learner.has_maps:
            raise ValueError(
                "Student and assistant cannot be networks without stage maps: set model.recognition.student and "
                "model.recognition.assistant to networks that can learn, such as mobilefacenet."
            )
        if self.teacher.has_maps:
            return
        if self.head not in ("student", "own"):
            raise ValueError(
                f'The teacher gives embeddings alone, so that the head "{self.head}" has no maps to read: set '
                "model.recognition.head to student or own."
            )
        if learner.input_size != self.teacher.input_size:
            raise ValueError(
                f"The teacher takes {self.teacher.input_size} px, student or assistant {learner.input_size} px: give "
                "all the same input_size."
            )

    def resized(self, faces: Tensor) -> Tensor:
        """Resize faces to the input of the teacher, by antialiased bicubic interpolation with gradient.

        Args:
            faces: Faces, (B, 3, S, S).

        Returns:
            Faces, (B, 3, T, T), T the teacher's `input_size`.
        """
        return resized(faces, self.teacher.input_size)

    def gallery(self, faces: Tensor) -> Tensor:
        """Embed sharp faces by the teacher.

        Args:
            faces: Sharp faces, (B, 3, S, S), RGB in [-1, 1].

        Returns:
            Embeddings f_T, (B, E), not normalized.
        """
        return self.embed_gallery(self.teacher.stages(self.resized(faces))[-1])

    def embed_gallery(self, last_stage: Tensor) -> Tensor:
        """Make the gallery's embedding of the teacher's last stage map.

        Args:
            last_stage: f_T^K, (B, C, h, w).

        Returns:
            Embeddings f_T, (B, E), not normalized.
        """
        return last_stage.flatten(1) if self.head == "flatten" else self.teacher.head(last_stage)

    def reads_sr(self, assistant: bool = True) -> bool:
        """Return True if the student, or the assistant where it takes part, reads what the FHN makes of a probe."""
        return self.student_sees != "probe" or (assistant and self.assistant_sees != "probe")

    def student_input(self, views: ProbeViews) -> Tensor:
        """Return what the student reads, (B, 3 or more channels, T, T).

        Raises:
            ValueError: If a view is missing.
        """
        if self.student_sees == "both":
            both = [self.resized(_needed(views.enlarged, "enlarged")), self.resized(_needed(views.sr, "sr"))]
            return self._moved_and_sized(torch.cat(both, dim=1), views)
        return self._moved_and_sized(self.resized(self._face(self.student_sees, views)), views)

    def assistant_input(self, views: ProbeViews) -> Tensor:
        """Return what the assistant reads, (B, 3 or more channels, T, T).

        Raises:
            ValueError: If a view is missing.
        """
        face = self.resized(self._face(self.assistant_sees, views))
        if self.assistant_sees == "sr_and_priors":
            face = torch.cat([face, _prior_maps(_needed(views.priors, "priors"), face.shape[-1]).to(face.dtype)], dim=1)
        return self._moved_and_sized(face, views)

    def _face(self, sight: StudentSight | AssistantSight, views: ProbeViews) -> Tensor:
        return _needed(views.enlarged, "enlarged") if sight == "probe" else _needed(views.sr, "sr")

    def _moved_and_sized(self, images: Tensor, views: ProbeViews) -> Tensor:
        if self.realign:
            scheme = LANDMARK_SCHEMES[self.schemes[0]]
            points = _needed(views.priors, "priors").points(1)[
                scheme.name
            ]  # of a picture of one pixel: from its center
            images = realigned(images, points, scheme)
        if self.lr_size is None or not self.size_input:
            return images
        return with_size(images, views.sizes, self.lr_size)

    def probe(self, views: ProbeViews, assistant: bool = True) -> Tensor:
        """Embed probes by student and assistant, or by the student alone.

        Args:
            views: Views of the probes.
            assistant: Add the maps of the assistant.

        Returns:
            Embeddings of f_S^K + f_A^K or of f_S^K, (B, E), not normalized.

        Raises:
            ValueError: If a view that is looked at is missing.
        """
        return self.embed(*self.last_maps(views, assistant))

    def last_maps(self, views: ProbeViews, assistant: bool = True) -> tuple[Tensor, Tensor | None]:
        """Return f_S^K and f_A^K, (B, C, h, w) each, the latter None without `assistant`; else like `probe`."""
        faces = self.student_input(views)
        student = self.student.stages(faces)[-1]
        if not assistant:
            return student, None
        same = self.student_sees == self.assistant_sees
        return student, self.assistant.stages(faces if same else self.assistant_input(views))[-1]

    def embed(self, student: Tensor, assistant: Tensor | None) -> Tensor:
        """Make the probe's embedding of last stage maps.

        Args:
            student: f_S^K, (B, C, h, w).
            assistant: f_A^K, (B, C, h, w), or None for the embedding of the student alone.

        Returns:
            Embeddings, (B, E), not normalized.
        """
        if self.head == "own":
            embedding = self.student.backbone.head(student)  # (B, E)
            return embedding if assistant is None else embedding + self.assistant.backbone.head(assistant)
        total = student if assistant is None else student + assistant  # (B, C, h, w)
        if self.head == "flatten":
            return total.flatten(1)  # (B, C * h * w)
        return (self.student.backbone if self.head == "student" else self.teacher).head(total)

    def start_from_teacher(self) -> None:
        """Copy the teacher's weights into student and assistant, except for heads that they do not have.

        Raises:
            ValueError: If one of them has a different shape from the teacher.
        """
        weights = self.teacher.backbone.state_dict()
        for name, learner in (("student", self.student), ("assistant", self.assistant)):
            try:
                fill_from_rgb(learner.backbone, weights)
            except RuntimeError as error:
                raise ValueError(
                    f"The {name} has a different shape from the teacher and cannot start from its weights: set "
                    "teacher.start_students=false or give it the teacher's architecture."
                ) from error


@torch.no_grad()
def _prior_maps(priors: Priors, side: int) -> Tensor:
    """Maps of the parts of the face and probabilities of the parsing classes, (B, K, side, side) in [0, 1]."""
    maps = [component_maps(priors.evidence()).clamp(0, 1), priors.parsing_logits.softmax(1)]
    return F.interpolate(torch.cat([part.float() for part in maps], dim=1), (side, side), mode="bilinear")


def _needed(view: Any, name: str) -> Any:
    if view is None:
        raise ValueError(f"Student or assistant looks at {name} of the probes, which is missing: give it in the views.")
    return view


class Learner(nn.Module):
    """Student NθS or assistant NθA: a backbone whose maps are brought to the shapes of the teacher's.

    Args:
        backbone: Network of the student or the assistant.
        teacher: Teacher whose maps are the target, or another network of the shapes of the maps.
        keep_head: Keep the head of the backbone. The parameters of an unused head would never be trained.
        from_zero: Start all maps at zero, by a 1x1 convolution of zeros after each stage.

    Raises:
        ValueError: If the sizes of the input or of the stage maps differ from the teacher's.
    """

    def __init__(self, backbone: Backbone, teacher: Backbone, keep_head: bool, from_zero: bool) -> None:
        super().__init__()
        if backbone.input_size != teacher.input_size or backbone.stage_sizes != teacher.stage_sizes:
            raise ValueError(
                f"The teacher takes {teacher.input_size} px to maps of {teacher.stage_sizes}, this network takes "
                f"{backbone.input_size} px to {backbone.stage_sizes}: choose networks of equal sizes."
            )
        if not keep_head:
            backbone.drop_head()
        self.backbone = backbone
        self.projections = nn.ModuleList(
            nn.Conv2d(channels, target, 1) if from_zero or channels != target else nn.Identity()
            for channels, target in zip(backbone.stage_channels, teacher.stage_channels, strict=True)
        )
        if from_zero:
            for weight in self.projections.parameters():
                nn.init.zeros_(weight)

    def stages(self, faces: Tensor) -> list[Tensor]:
        """Compute the stage maps in the shapes of the teacher's.

        Args:
            faces: What the backbone reads, (B, input_channels, T, T), RGB around [-1, 1] first.

        Returns:
            Four stage maps, (B, C_k, S_k, S_k), with channels and sizes of the teacher's.
        """
        return [
            projection(stage) for stage, projection in zip(self.backbone.stages(faces), self.projections, strict=True)
        ]
