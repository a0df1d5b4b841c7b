"""The one exception for everything that a user can cause and mend, and how others are told in it."""


class UserError(Exception):
    """Bad input. Its message is one line: what was wrong, where, and what would be accepted.

    The command line prints it without a traceback and leaves with exit code 2.
    """


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its kind where it says nothing: what a `UserError` quotes of it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
