"""The one exception that is a user's to mend, and the words for those of others."""

__all__ = ["InvalidArgumentError", "MedlabelError", "reason"]


class MedlabelError(Exception):
    """Something the user can mend: one line that names the thing, the reason and the next step.

    The command line prints it without a traceback and exits with code 2.
    """


class InvalidArgumentError(MedlabelError, ValueError):
    """An argument of the Python API that cannot be used: a `ValueError`, as scikit-learn has it."""


def reason(error: BaseException) -> str:
    """What an error says: of the operating system's neither the number nor the path again."""
    return (isinstance(error, OSError) and error.strerror) or str(error)
