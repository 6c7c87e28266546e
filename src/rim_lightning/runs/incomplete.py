"""The end of a command that did a part of its work."""


class Incomplete(Exception):
    """Raised at the end of a command if a part of its work failed. What succeeded is written by then.

    Attributes:
        nothing: True if no part succeeded.
    """

    def __init__(self, message: str, nothing: bool) -> None:
        super().__init__(message)
        self.nothing = nothing
