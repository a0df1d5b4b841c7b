"""What other programs take as names and texts, and how ours are made to fit.

Names come from params.yaml and texts from records, which may have been copied from elsewhere: neither may end a
program, be executed, or be taken for a mark of a page.
"""

import hashlib
import html
import re
import sys
from typing import Any

# Pixels: no side of a WebP picture may be longer.
WEBP_SIDE = 16_383
# Characters of a name in params.yaml: files' names have 255 bytes, and keys and suffixes follow it.
FILE_NAME = 150
# MLflow's limits for the names of tags, metrics and parameters, and for the texts of tags.
_MLFLOW_NAME, _MLFLOW_TEXT = 250, 8000


def is_file_name(name: str, longest: int = FILE_NAME) -> bool:
    """Whether a name may stand in paths: a letter or digit, then those and `. _ - + =`.

    >>> is_file_name("lr+attention"), is_file_name("../precious"), is_file_name("a b"), is_file_name("-x")
    (True, False, False, False)
    """
    return len(name) <= longest and re.fullmatch(r"[A-Za-z0-9][\w.+=-]*", name, re.ASCII) is not None


def one_line(text: Any) -> str:
    """A text without line breaks and control characters, which terminals obey.

    >>> one_line("a\\n b\\x1b[2J\\0")
    'a b?[2J?'
    """
    return "".join(c if c.isprintable() else "?" for c in " ".join(str(text).split()))


def for_mlflow(name: str) -> str:
    """A part of the name of a tag, metric or parameter: letters, digits, `_ - .` and spaces.

    Names that params.yaml takes for variants, suites and grids stay different ones.

    >>> for_mlflow("lr+attention"), for_mlflow("beta=0.5"), for_mlflow("lr $10^{-4$")
    ('lr and attention', 'beta is 0.5', 'lr _10__-4_')
    """
    name = name.replace("+", " and ").replace("=", " is ")  # colons are refused by servers before MLflow 3
    name = re.sub(r"[^\w.\- ]|^[.\s]|^$", "_", name)
    return _cut(name, _MLFLOW_NAME // 2)


def for_mlflow_metric(name: str) -> str:
    """A metric's name; what stands before a slash is a section of MLflow's page.

    >>> for_mlflow_metric("train/timing(s)/gen\x1b"), for_mlflow_metric("/a//../b")
    ('train/timing_s_/gen_', 'a/_./b')
    """
    return _cut("/".join(for_mlflow(part) for part in name.split("/") if part) or "_", _MLFLOW_NAME)


def _cut(name: str, longest: int) -> str:
    """A name that is too long keeps its beginning and gets a digest, so that different ones stay different."""
    if len(name) <= longest:
        return name
    return f"{name[: longest - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def for_mlflow_text(text: str) -> str:
    """A tag's text, cut behind what MLflow stores."""
    return text if len(text) <= _MLFLOW_TEXT else f"{text[: _MLFLOW_TEXT - 1]}…"


def for_figure(text: Any) -> str:
    """A label of matplotlib, which takes what stands between two `$` as a formula."""
    return one_line(text).replace("$", r"\$")


def for_markdown(text: Any) -> str:
    """A text within a line or a table's cell of Markdown, without any mark in it.

    >>> for_markdown("a|b <b>*c*</b> lr_ratio")
    'a\\\\|b \\\\<b\\\\>\\\\*c\\\\*\\\\</b\\\\> lr_ratio'
    """
    # An underscore within a word is no mark.
    return re.sub(r"[\\`*~\[\]<>|&$]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", one_line(text))


def for_html(text: Any) -> str:
    """A text within an element or a quoted attribute of HTML."""
    return html.escape(one_line(text))


def for_csv(value: Any) -> Any:
    """A cell's value; a text that spreadsheets would carry out as a formula gets an apostrophe in front.

    >>> for_csv("=1+1"), for_csv("-1.5"), for_csv(-1.5), for_csv("@SUM(A1)"), for_csv("a\\nb")
    ("'=1+1", '-1.5', -1.5, "'@SUM(A1)", 'a b')
    """
    if not isinstance(value, str):
        return value
    value = one_line(value)
    is_number = re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?|-|[+-]?inf", value, re.IGNORECASE)
    return f"'{value}" if value.startswith(("=", "+", "-", "@")) and not is_number else value


# Of an address who logs in and with what, and settings whose name says that they are secret.
_LOGIN = re.compile(r"\b(?!sqlite:|file:)([\w+.-]+://)(\S*)@")
_SECRET = re.compile(r"(\w*(?:password|passwd|pwd|token|secret|api_?key)\w*=)[^&\s'\"]+", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """A text without the users and passwords of the addresses in it.

    >>> without_secrets("no http://me:p/a@ss@host:5000 postgresql://host/db?user=me&password=x sqlite:////a@b/c.db")
    'no http://***@host:5000 postgresql://host/db?user=me&password=*** sqlite:////a@b/c.db'
    """
    return _SECRET.sub(r"\1***", _LOGIN.sub(r"\1***@", text))


def has_password(uri: str) -> bool:
    """Whether an address says a password.

    >>> has_password("postgresql://me:x@host/db"), has_password("postgresql://me@host/db"), has_password("http://h?token=x")
    (True, False, True)
    """
    login = _LOGIN.search(uri)
    return _SECRET.search(uri) is not None or (login is not None and ":" in login[2])


def speak_any_locale() -> None:
    """Let what is printed reach any terminal: a letter that its encoding lacks becomes `?`, and ends nothing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
