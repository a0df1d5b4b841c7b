"""The one exception for everything that a user can cause and mend."""


class UserError(Exception):
    """Bad input. Its message is one line: what was wrong, where, and what would be accepted.

    The command line prints it without a traceback and leaves with exit code 2.
    """
