"""The exception for mistakes that a user can correct, and the messages of other exceptions.

Also the warning about a teacher, which jobs, the command line and the Python API share.
"""

__all__ = ["InvalidArgumentError", "MedlabelError", "TeacherWarning", "reason"]


class MedlabelError(Exception):
    """A mistake that the user can correct, in one line: what is wrong, why, and what to do.

    The command line prints it without a traceback and exits with code 2.
    """


class InvalidArgumentError(MedlabelError, ValueError):
    """An invalid argument of the Python API; also a `ValueError`, as in scikit-learn."""


class TeacherWarning(UserWarning):
    """What the user should know about a teacher or its captions: its labels may be worse for it.

    The command line prints it as a line; in Python it is an ordinary warning.
    """


def reason(error: BaseException) -> str:
    """The message of an error; for one of the operating system without its number and its path."""
    return (isinstance(error, OSError) and error.strerror) or str(error)
