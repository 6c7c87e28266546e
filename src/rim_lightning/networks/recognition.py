"""The heterogeneous recognition network (HRN): frozen teacher, student and assistant."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from torch import Tensor, nn

from rim_lightning.functional.resize import resized
from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.backbones.frozen import FrozenTeacher
from rim_lightning.networks.backbones.input import fill_from_rgb

Head = Literal["teacher", "student", "own", "flatten"]
"""What makes an embedding of the last stage maps, see `RecognitionNetwork`."""


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

    Attributes:
        embedding_size: Length E of the embedding.

    Raises:
        ValueError: If the sizes of the stage maps differ from the teacher's, the head is unknown, or the channels or
            the embedding of the student's head differ from the teacher's.
    """

    def __init__(
        self,
        teacher: Mapping[str, Any],
        student: Mapping[str, Any],
        assistant: Mapping[str, Any],
        head: Head = "teacher",
        assistant_from_zero: bool = True,
    ) -> None:
        super().__init__()
        if head not in get_args(Head):
            raise ValueError(f'head must be one of {", ".join(get_args(Head))}, got "{head}".')
        self.head = head
        self.teacher = FrozenTeacher(build_backbone(**teacher))
        channels, side = self.teacher.stage_channels[-1], self.teacher.stage_sizes[-1]
        self.embedding_size = channels * side**2 if head == "flatten" else self.teacher.embedding_size
        self.student = Learner(
            build_backbone(**student), self.teacher, keep_head=head in ("student", "own"), from_zero=False
        )
        student_channels = self.student.backbone.stage_channels[-1]
        if head == "student" and student_channels != channels:
            raise ValueError(
                f"The student's head would read maps of the teacher's {channels} channels, its own have "
                f'{student_channels}: set head to "teacher".'
            )
        if head in ("student", "own") and self.student.backbone.embedding_size != self.teacher.embedding_size:
            raise ValueError(
                f"The student's embedding has {self.student.backbone.embedding_size} numbers, the teacher's has "
                f"{self.teacher.embedding_size}: give both the same embedding_size."
            )
        self.assistant = Learner(
            build_backbone(**assistant), self.teacher, keep_head=head == "own", from_zero=assistant_from_zero
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

    def probe(self, faces: Tensor, assistant: bool = True) -> Tensor:
        """Embed hallucinated faces by student and assistant, or by the student alone.

        Args:
            faces: Hallucinated faces, (B, 3, S, S), RGB around [-1, 1].
            assistant: Add the maps of the assistant.

        Returns:
            Embeddings of f_S^K + f_A^K or of f_S^K, (B, E), not normalized.
        """
        faces = self.resized(faces)  # (B, 3, T, T)
        student = self.student.stages(faces)[-1]  # (B, C, h, w)
        return self.embed(student, self.assistant.stages(faces)[-1] if assistant else None)

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


class Learner(nn.Module):
    """Student NθS or assistant NθA: a backbone whose maps are brought to the shapes of the teacher's.

    Args:
        backbone: Network of the student or the assistant.
        teacher: Teacher whose maps are the target.
        keep_head: Keep the head of the backbone. The parameters of an unused head would never be trained.
        from_zero: Start all maps at zero, by a 1x1 convolution of zeros after each stage.

    Raises:
        ValueError: If the sizes of the input or of the stage maps differ from the teacher's.
    """

    def __init__(self, backbone: Backbone, teacher: FrozenTeacher, keep_head: bool, from_zero: bool) -> None:
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
            faces: Faces, (B, 3, T, T), RGB around [-1, 1].

        Returns:
            Four stage maps, (B, C_k, S_k, S_k), with channels and sizes of the teacher's.
        """
        return [
            projection(stage) for stage, projection in zip(self.backbone.stages(faces), self.projections, strict=True)
        ]
