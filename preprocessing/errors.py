"""`UserError`: what a user can mend, said in one line (given, expected, remedy), and how commands end on it."""

import errno
import os
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

_STORAGE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space, then run the same command again to resume"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "expected a place that this user may write to, and read from"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "expected a folder where this file is; choose another path, or move the file"),
    errno.EISDIR: "expected a file where this folder is; choose another path, or move the folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}
"""What the user can mend about the disk and about paths, whichever file it happens at."""


class UserError(ValueError):
    """Wrong input from the user. Its text is one line: what was given, what is expected, what to do."""


def unknown_name(kind: str, given: object, known: Iterable[str]) -> UserError:
    """The error for a name that is not among the known ones; it lists them."""
    return UserError(f"unknown {kind} {given!r}; known: {', '.join(sorted(known)) or 'none'}")


def run_command(command: Callable[[], object]) -> NoReturn:
    """Run a command and leave the process: 0 done (or the int it returns), 2 after a `UserError`, 130 after Ctrl-C."""
    try:
        result = command()
    except UserError as error:
        print("error: " + " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to resume", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output left (`| head`); what Python flushes at its end has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if error.errno not in _STORAGE:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{os.strerror(error.errno)}; {_STORAGE[error.errno]}", file=sys.stderr)
        sys.exit(2)
    sys.exit(result if isinstance(result, int) else 0)
