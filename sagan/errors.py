"""The one exception for everything that a user can cause and mend, and the wordings that messages share."""

import difflib
import errno
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

# What the system's own words leave unsaid.
_REASONS = {
    errno.EEXIST: "there is a file where a folder has to be",
    errno.ENOTDIR: "there is a file where a folder has to be",
    errno.EISDIR: "is a folder, not a file",
    errno.ENOENT: "no such file or folder",
}
# No room, or no right to write: a user can mend that also where the system does not say of which file.
_MENDABLE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
_SHOWN = 12


class UserError(Exception):
    """Bad input. Its message is one line: what was wrong, where, and what would be accepted.

    The command line prints it without a traceback and leaves with exit code 2.
    """


def explained(error: UserError | OSError) -> str | None:
    """A mistake in one line; None of an `OSError` that names no place and no reason that a user could mend."""
    if isinstance(error, UserError):
        return str(error)
    place = error.filename2 or error.filename
    if error.errno is None or (place is None and error.errno not in _MENDABLE):
        return None
    if error.errno == errno.ENOTDIR:
        place = next((parent for parent in Path(place).parents if parent.is_file()), place)
    reason = _REASONS.get(error.errno, error.strerror)
    return f"{f'{place}: ' if place else ''}{reason}; fix this and rerun; finished work is kept"


def said(error: UserError | OSError) -> int:
    """Say a mistake in one line; returns the exit code. One that a user could not mend is raised again."""
    if (line := explained(error)) is None:
        raise error
    print(f"sagan: {line}", file=sys.stderr)
    return 2


@cache
def warn_once(text: str) -> None:
    """A line, however often it is said."""
    print(f"sagan: warning: {text}", file=sys.stderr)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to append to a message about a name that is not known: the closest one, and all where they are few.

    >>> did_you_mean("quik", ["quick", "mnist"]), did_you_mean("x", ["a", "b"])
    (", did you mean 'quick'? (accepted: quick, mnist)", ' (accepted: a, b)')
    """
    known = list(known)
    close, more = meant(name, known), max(0, len(known) - _SHOWN)
    if not known or (close and more):
        return close
    return f"{close} (accepted: {', '.join(known[:_SHOWN])}{f' and {more} more' if more else ''})"


def check_known(place: str, name: str, known: Iterable[str], what: str) -> None:
    """Refuse a name that is none of those known: a `UserError` with the place, and what it may have meant."""
    if name not in (known := list(known)):
        raise UserError(f"{place}: no such {what}{did_you_mean(name, known)}")


def meant(name: str, known: Iterable[str]) -> str:
    """The closest of names too many to list; nothing where none is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, or its kind where it says nothing: what a `UserError` quotes of it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
