"""The heterogeneous recognition network (HRN): frozen teacher, student and teacher assistant."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from torch import Tensor, nn

from rim_lightning.functional.resize import resized
from rim_lightning.networks.backbones.base import Backbone
from rim_lightning.networks.backbones.build import build_backbone
from rim_lightning.networks.backbones.frozen import FrozenTeacher

Head = Literal["teacher", "student", "own", "flatten"]


class RecognitionNetwork(nn.Module):
    """HRN: the probe's feature is f_S^K + f_A^K, the gallery's f_T^K, which the teacher's head makes an embedding.

    Student and assistant maps whose channels differ from the teacher's pass 1x1 convolutions; the target never does, a
    learned projection of it would collapse to zero.

    Args:
        teacher, student, assistant: {"name": ..., arguments of that backbone}.
        head: "teacher": the frozen teacher's head reads f_S^K + f_A^K; "student": the student's does, which learns;
            "own": student and assistant have heads whose embeddings are summed (authors' code); "flatten": the maps
            themselves are compared.
        assistant_from_zero: start the assistant's maps at zero, through a 1x1 convolution of zeros after each stage, so
            that the sum starts as the student. (A factor per channel does too, but only grows as fast as the learning
            rate, and the assistant stays at nothing.)

    Raises:
        ValueError: stage maps of other sizes than the teacher's, an unknown head, or the head of a student with other
            channels or embeddings than the teacher.
    """

    def __init__(
        self,
        teacher: Mapping[str, Any],
        student: Mapping[str, Any],
        assistant: Mapping[str, Any],
        head: Head = "teacher",
        assistant_from_zero: bool = True,
    ):
        super().__init__()
        if head not in get_args(Head):
            raise ValueError(f'The head is {", ".join(get_args(Head))}, got "{head}".')
        self.head = head
        self.teacher = FrozenTeacher(build_backbone(**teacher))
        channels, last = self.teacher.stage_channels[-1], self.teacher.stage_sizes[-1]
        self.embedding_size = channels * last**2 if head == "flatten" else self.teacher.embedding_size
        self.student = Learner(
            build_backbone(**student), self.teacher, keep_head=head in ("student", "own"), from_zero=False
        )
        wanted, own = self.teacher.stage_channels[-1], self.student.backbone.stage_channels[-1]
        if head == "student" and own != wanted:
            raise ValueError(
                f"The student's head would read maps of the teacher's {wanted} channels, its own have {own}: set head "
                'to "teacher".'
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
        """(B, 3, S, S) -> (B, 3, T, T), T the teacher's input size; antialiased bicubic, with gradient."""
        return resized(faces, self.teacher.input_size)

    def gallery(self, faces: Tensor) -> Tensor:
        """Sharp faces (B, 3, S, S), RGB in [-1, 1] -> the teacher's embeddings (B, E) f_T, not normalized."""
        return self.embed_gallery(self.teacher.stages(self.resized(faces))[-1])

    def embed_gallery(self, last: Tensor) -> Tensor:
        """Last stage map f_T^K, (B, C, h, w) -> the gallery's embedding (B, E)."""
        return last.flatten(1) if self.head == "flatten" else self.teacher.head(last)

    def probe(self, faces: Tensor, assistant: bool = True) -> Tensor:
        """Hallucinated faces (B, 3, S, S) -> embeddings (B, E) of f_S^K + f_A^K, or of the student alone."""
        faces = self.resized(faces)
        student = self.student.stages(faces)[-1]
        return self.embed(student, self.assistant.stages(faces)[-1] if assistant else None)

    def embed(self, student: Tensor, assistant: Tensor | None) -> Tensor:
        """Last stage maps f_S^K, f_A^K, (B, C, h, w) each -> embedding (B, E); None: of the student alone."""
        if self.head == "own":
            own = self.student.backbone.head(student)
            return own if assistant is None else own + self.assistant.backbone.head(assistant)
        total = student if assistant is None else student + assistant
        if self.head == "flatten":
            return total.flatten(1)
        return (self.student.backbone if self.head == "student" else self.teacher).head(total)

    def start_from_teacher(self) -> None:
        """Give student and assistant the teacher's weights, where they have its shape.

        Raises:
            ValueError: one of them has another shape.
        """
        weights = self.teacher.backbone.state_dict()
        for name, learner in (("student", self.student), ("assistant", self.assistant)):
            try:
                kept = {key: value for key, value in weights.items() if key in learner.backbone.state_dict()}
                learner.backbone.load_state_dict(kept)
            except RuntimeError as error:
                raise ValueError(
                    f"The {name} has another shape than the teacher and cannot start from its weights: set "
                    f"start_from_teacher=false or give it the teacher's architecture."
                ) from error


class Learner(nn.Module):
    """Student NθS or assistant NθA: a backbone whose maps have the shapes of the teacher's."""

    def __init__(self, backbone: Backbone, teacher: FrozenTeacher, keep_head: bool, from_zero: bool):
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
            nn.Conv2d(own, target, 1) if from_zero or own != target else nn.Identity()
            for own, target in zip(backbone.stage_channels, teacher.stage_channels, strict=True)
        )
        if from_zero:
            for weight in self.projections.parameters():
                nn.init.zeros_(weight)

    def stages(self, faces: Tensor) -> list[Tensor]:
        """(B, 3, T, T) -> the four stage maps, in the teacher's shapes."""
        parts = zip(self.backbone.stages(faces), self.projections, strict=True)
        return [projection(stage) for stage, projection in parts]
