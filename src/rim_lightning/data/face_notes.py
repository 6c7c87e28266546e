"""What a user should know about the face that was taken from a picture. Nothing heavy is imported."""


def turned_note(turned: int) -> str:
    """Return the end of a sentence about a picture that was turned clockwise by some degrees."""
    return f"shows the face turned: the picture was turned by {turned}° clockwise"


def face_notes(faces: int, turned: int | None, taken: str) -> list[str]:
    """Return what a user should know about the face that was taken from a picture.

    Args:
        faces: Number of usable faces in the picture.
        turned: Degrees by which the picture was turned clockwise. None if nobody knows.
        taken: Which face was taken if there are several, such as "the largest".

    Returns:
        Ends of sentences that begin with the name of the picture.
    """
    several = [f"shows several faces: {taken} was taken"] if faces > 1 else []
    return several + ([turned_note(turned)] if turned else [])
