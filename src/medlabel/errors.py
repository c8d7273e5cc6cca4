"""The one exception that is a user's to mend."""

__all__ = ["MedlabelError"]


class MedlabelError(Exception):
    """Something the user can mend: one line that names the thing, the reason and the next step.

    The command line prints it without a traceback and exits with code 2.
    """
