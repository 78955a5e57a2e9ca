"""What stops a command: one line for whoever typed it."""


class Trouble(Exception):  # noqa: N818  # it names what the user has, not what the code did
    """Say what is wrong and what mends it; ``code`` is the command's exit status.

    1 is trouble met while running, 2 a command or setting that cannot be meant.
    """

    def __init__(self, message: str, *, code: int = 1) -> None:
        super().__init__(message)
        self.code = code
