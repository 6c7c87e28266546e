"""What `rim enroll` says about a folder beside the numbers: files that are not read, differences, doubtful people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rim_lightning.commands.picture_notes import SHOWN, first_names
from rim_lightning.commands.rim.output import report_left_out, say

if TYPE_CHECKING:
    from rim_lightning.gallery.changes import StaleTemplate
    from rim_lightning.gallery.enrollment import FolderChanges
    from rim_lightning.gallery.index import Gallery


class FolderReport(NamedTuple):
    """Files of a folder that are not read, and people who may be enrolled wrongly.

    Attributes:
        left_out: Picture -> reason why it was left out.
        unused: Other file -> reason why it is not read.
        hidden: Hidden and system files and folders.
        shared: (person, path) of pictures that are enrolled under several people.
        alike: Names that differ only in case, spaces or the Unicode form of their letters.
        single: Pictures directly in a folder that has folders of people too. Each is a person.
        undated: Number of templates of which neither date nor alignment is known.
    """

    left_out: dict[str, str]
    unused: dict[str, str]
    hidden: list[str]
    shared: list[list[tuple[str, str]]]
    alike: list[list[str]]
    single: list[str]
    undated: int

    @classmethod
    def of(
        cls,
        compared: FolderChanges,
        gallery: Gallery | None,
        left_out: Mapping[str, str] | None = None,
        sync: bool = False,
    ) -> FolderReport:
        """Look at a folder that was compared with a gallery.

        Args:
            compared: The folder and what differs.
            gallery: The gallery, or None if there is none yet.
            left_out: Picture -> reason, by default for those that could not be read.
            sync: True if the gallery was made what the folder is.

        Returns:
            The report.
        """
        from rim_lightning.data.listing import why_not
        from rim_lightning.gallery.names import alike_names, unicode_name
        from rim_lightning.gallery.stored_templates import shared_pictures

        (_, listing, people_of), changes, unreadable = compared
        others, hidden = (
            [path for path in paths if gallery is None or not gallery.owns(path)]
            for paths in (listing.others, listing.hidden)
        )
        reasons = {str(path): why_not(path) for path in others}
        templates = [] if gallery is None else gallery.enrolled()
        shared = shared_pictures(templates, {picture.digest for picture in changes.pictures()})
        parts = [path.relative_to(compared.pictures.folder).parts for path in listing.pictures]
        names = {own[0] for own in parts if len(own) > 1} if people_of is None else set(people_of.values())
        single = [own[0] for own in parts if len(own) == 1] if people_of is None else []
        people = {template.person for template in templates} - {unicode_name(name) for name in names}
        return cls(
            left_out=dict(unreadable if left_out is None else left_out)
            | {path: f"{path} {unused.reason}." for path, unused in reasons.items() if unused.picture},
            unused={path: unused.reason for path, unused in reasons.items() if not unused.picture},
            hidden=[str(path) for path in hidden],
            shared=[[(template.person, template.source) for template in group] for group in shared],
            alike=alike_names(names | people),
            single=single if names else [],
            undated=0 if sync else len(changes.undated),
        )

    def print(self) -> None:
        """Print everything on the error output."""
        report_left_out(self.left_out)
        report_unused(self.unused, self.hidden)
        for group in self.shared[:SHOWN]:
            say(_shared_line(group), err=True)
        if len(self.shared) > SHOWN:
            more = len(self.shared) - SHOWN
            say(f"{more} more pictures are enrolled under several people; --json names them all", err=True)
        for names in self.alike:
            say(f"these people may be one: {', '.join(map(repr, names))}. If so, give them one name", err=True)
        if self.single:
            say(
                f"{len(self.single)} pictures lie beside the folders of people, and each is a person of its own: "
                f"{_quoted(self.single)}",
                err=True,
            )
        if self.undated:
            say(
                f"{self.undated} templates come from an earlier version, which recorded neither date nor alignment: "
                "--sync embeds them again",
                err=True,
            )


def _shared_line(group: Sequence[tuple[str, str]]) -> str:
    """Return what is said of one picture with several people, and how to put it right.

    Args:
        group: (person, path) of its templates.
    """
    people_of: dict[str, list[str]] = {}
    for person, source in group:
        people_of.setdefault(source, []).append(person)
    for source, people in people_of.items():
        if len(people) > 1:  # nothing can be moved in the folders: they share the file
            names = " and as ".join(map(repr, sorted(people)))
            return (
                f"{source} is enrolled as {names}, because a folder and one inside it were enrolled: remove the wrong "
                "name by rim forget, and enroll only one of the folders"
            )
    places = _quoted([f"{person} ({source})" for person, source in dict(group).items()])
    return (
        f"one picture is enrolled under several people: {places}. Remove it from all but one and add --sync, or remove "
        "the wrong name by rim forget"
    )


def report_unused(unused: Mapping[str, str], hidden: Sequence[str]) -> None:
    """Print which files of a folder are not read, a line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for path, reason in unused.items():
        by_reason.setdefault(reason, []).append(path)
    for reason, paths in by_reason.items():
        say(f"not read: {_counted(paths)} {reason}: {_quoted(paths)}", err=True)
    if hidden:
        names = list(dict.fromkeys(Path(path).name for path in hidden))
        say(f"never read: {len(hidden)} hidden or system files and folders: {_quoted(names)}", err=True)


def report_differences(differences: Sequence[StaleTemplate], folder: Path, sync: bool) -> None:
    """Print what differed between a folder and the gallery, and how to put it right."""
    if not differences:
        return
    counts: dict[str, int] = {}
    for difference in differences:
        counts[difference.kind] = counts.get(difference.kind, 0) + 1
    summary = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    if sync:
        say(f"put right in the gallery: {summary}")
        return
    for kind in counts:
        for difference in [difference for difference in differences if difference.kind == kind][:SHOWN]:
            say(describe(difference), err=True)
    say(
        f"{len(differences)} templates of the gallery are not what {folder} holds: {summary}. They were left as they "
        "are; --sync makes the gallery what the folder is, --dry-run names all of them",
        err=True,
    )


def describe(difference: StaleTemplate) -> str:
    """Return one line that says how a template differs from its folder."""
    template, picture = difference.template, difference.picture
    old = f"{template.source}, enrolled as {template.person}{on_date(template.enrolled)},"
    if picture is None:
        return f"removed: {old} is not among the pictures any more"
    if difference.kind == "replaced":
        return f"replaced: {old} is another picture now"
    if difference.kind == "made differently":
        by = f" by {template.detector}" if template.detector else ""
        return f"made differently: {old} was read as {template.alignment}{by}"
    if difference.kind == "doubled":
        return f"doubled: {old} has several templates"
    now = f" of {picture.person}" if difference.kind == "moved" else ""
    return f"{difference.kind}: {old} is now {picture.source}{now}"


def plain_differences(differences: Iterable[StaleTemplate]) -> list[dict[str, Any]]:
    """Return differences as entries of a JSON object."""
    return [
        {
            "kind": difference.kind,
            "person": difference.template.person,
            "source": difference.template.source,
            "enrolled": difference.template.enrolled,
            "now_person": difference.picture and difference.picture.person,
            "now_source": difference.picture and difference.picture.source,
        }
        for difference in differences
    ]


def on_date(enrolled: str | None) -> str:
    """Return " on <day>" for a date of enrollment; "" if it is unknown."""
    return f" on {enrolled[:10]}" if enrolled else ""


def _counted(paths: Sequence[str]) -> str:
    return "a file that" if len(paths) == 1 else f"{len(paths)} files, each of which"


def _quoted(names: Iterable[str]) -> str:
    return first_names([repr(name) for name in names])
