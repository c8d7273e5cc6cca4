"""Why work on a cluster failed: the reason behind Ray's exceptions, in one line with what to do.

An exception crosses from a worker as its text and, if it can be pickled, as an object without the
exceptions that caused it. Ray's libraries wrap it in exceptions of their own, with hints of their
own. What a user needs is the first error of medlabel or of the operating system in that chain.
"""

import builtins
import errno
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.train import TrainingFailedError

from medlabel.errors import MedlabelError, reason

__all__ = ["StorageError", "append_to_log", "is_permanent", "one_line_errors", "reason_of"]

_KEPT = "What is finished is kept"
_AGAIN = f"{_KEPT}; run the same command to go on"
_CORRECT = f"{_KEPT}; correct this, then run the same command to go on"
_FEWER = f"{_AGAIN}, with fewer --workers if it happens again"
_REPORT = f"{_KEPT}; if it happens again, report it with its details"
_LOG = "medlabel-errors.log"  # in Ray's folder of logs

_MEANINGS = {  # of Ray's exceptions, by name: the reason, and what to do
    "OutOfMemoryError": (
        "the machine ran out of memory, and Ray stopped a worker",
        f"{_KEPT}; run the same command with fewer --workers, or with more memory, to go on",
    ),
    "OutOfDiskError": (
        "the disk that holds Ray's files is nearly full",
        f"{_KEPT}; free space there or name another folder in RAY_TMPDIR, then run the same "
        "command to go on",
    ),
    "ObjectStoreFullError": (
        "the shared memory of Ray's objects is full",
        f"{_KEPT}; run the same command with fewer --workers, or with a larger /dev/shm, to go on",
    ),
    "WorkerCrashedError": ("a worker process died; the system may have stopped it", _FEWER),
    "RayActorError": ("a worker process died; the system may have stopped it", _FEWER),
    "LocalRayletDiedError": ("Ray stopped on this machine", _FEWER),
    "NodeDiedError": ("a node of the cluster was lost", _AGAIN),
    "ObjectLostError": ("data were lost with the node or the worker that held them", _AGAIN),
    "OwnerDiedError": ("data were lost with the worker that made them", _AGAIN),
    "RpcError": ("the connection to the cluster was lost", _AGAIN),
    "RaySystemError": ("Ray stopped, or the connection to it was lost", _AGAIN),
    "GetTimeoutError": ("a worker did not answer in time", _AGAIN),
    "PreemptionError": ("a node of the cluster was taken away", _AGAIN),
    "RuntimeEnvSetupError": ("Ray could not prepare its workers' environment", _CORRECT),
    "TaskUnschedulableError": ("no node of the cluster can run the work", _CORRECT),
    "ActorUnschedulableError": ("no node of the cluster can run the work", _CORRECT),
    "AuthenticationError": ("the cluster refused the token", _CORRECT),
}
_PERMANENT = {
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG,
    errno.ENOTDIR, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.EFBIG,
}  # fmt: skip
_OWN = ("medlabel.", "rayjobs.", "serving.")
_OS_ERRORS = {
    name for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, OSError)
}  # fmt: skip
_LINE = re.compile(r"^([A-Za-z_][\w.<>]*): (.*\S)", re.MULTILINE)  # the last line of a traceback
_NUMBERED = re.compile(r"\[Errno (\d+)\] (.*?)(?:: ['\"](.*?)['\"](?: -> .*)?)?$")


class StorageError(MedlabelError):
    """Something cannot be written or read, and that is no fault of the work that was to be done."""


@dataclass(frozen=True)
class _Failure:
    """The reason of an error, and what to do about it."""

    reason: str
    advice: str


@contextmanager
def one_line_errors(what: str, *also: type[BaseException]) -> Iterator[None]:
    """Turn an error that Ray raises, with its remote traceback, into a one-line `MedlabelError`.

    The tracebacks are kept in a file beside Ray's logs.

    Args:
        what: failed, such as "embedding".
        also: other exceptions that Ray's libraries raise there.
    """
    kinds: tuple[type[BaseException], ...] = (RayError, TrainingFailedError, *also)
    try:
        yield
    except kinds as error:
        found = _failure_of(error)
        log = _keep(error)
        where = f" (details: {log})" if log and found.advice == _REPORT else ""
        raise MedlabelError(f"{what} failed: {found.reason}{where}. {found.advice}") from error


def reason_of(error: BaseException) -> str:
    """The reason behind an error in one line, without what to do about it.

    Examples:
        >>> reason_of(PermissionError(13, "Permission denied", "/out"))
        '/out: Permission denied'
    """
    return _failure_of(error).reason


def is_permanent(error: BaseException) -> bool:
    """Whether an error of the operating system would only be raised again."""
    return isinstance(error, OSError) and error.errno in _PERMANENT


def _failure_of(error: BaseException) -> _Failure:
    """The first error of medlabel or of the system among an error's causes; else what Ray's means.

    Where a cause did not survive the way from the worker, its traceback is in the text.
    """
    links = list(_chain(error))
    for find in (_by_object, _by_text, _by_meaning):
        for link in links:
            if found := find(link):
                return found
    text, kind = _essence(str(error)), type(error)
    named = isinstance(error, RayError) or kind in (RuntimeError, Exception)
    return _Failure(text if text and named else f"{kind.__name__}: {text}", _REPORT)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes, also those that Ray holds in attributes, the outermost first."""
    seen, waiting = set[int](), [error]
    while waiting:
        link = waiting.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        failures: Any = getattr(link, "worker_failures", None)  # of Ray Train
        inner = [getattr(link, name, None) for name in ("cause", "controller_failure")]
        shown = None if link.__suppress_context__ else link.__context__
        waiting += [*inner, *(failures or {}).values(), link.__cause__, shown]


def _by_object(link: BaseException) -> _Failure | None:
    if isinstance(link, RayError):  # also Ray's copy of an own error, whose text is a traceback
        return None
    if isinstance(link, MedlabelError):
        return _Failure(_one_line(str(link)), _CORRECT)
    if isinstance(link, OSError):
        where = f"{link.filename}: " if link.filename else ""
        text = _one_line(f"{where}{reason(link)}")
        return _Failure(text, _CORRECT if is_permanent(link) else _AGAIN)
    return None


def _by_text(link: BaseException) -> _Failure | None:
    """The last error of medlabel or of the system in a text of tracebacks, the outermost cause."""
    for kind, message in reversed(_LINE.findall(str(link))):
        if kind.startswith(_OWN):
            return _Failure(_one_line(message), _CORRECT)
        if kind in _OS_ERRORS:
            numbered = _NUMBERED.match(message)
            if not numbered:
                return _Failure(message, _AGAIN)
            number, text, where = numbered.groups()
            permanent = int(number) in _PERMANENT
            return _Failure(
                f"{where}: {text}" if where else text, _CORRECT if permanent else _AGAIN
            )
    return None


def _by_meaning(link: BaseException) -> _Failure | None:
    """What an exception of Ray means, by its class or by the classes that its text names."""
    names = [kind.__name__ for kind in type(link).__mro__]
    texts = [kind.rpartition(".")[2] for kind, _ in reversed(_LINE.findall(str(link)))]
    for name in [*texts, *names]:
        if name in _MEANINGS:
            return _Failure(*_MEANINGS[name])
    return None


def _essence(text: str) -> str:
    """The last exception that a text of tracebacks names, else the first line of the text."""
    found = [f"{kind}: {message}" for kind, message in _LINE.findall(text)]
    others = [line for line in found if not line.startswith("ray.")]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (others or found or lines[:1] or [""])[-1]


def _one_line(text: str) -> str:
    return " ".join(text.split()).removesuffix(".")


def _keep(error: BaseException) -> str | None:
    """Append the tracebacks to the log; its path, or None if that failed."""
    return append_to_log([f"{type(link).__name__}: {link}\n" for link in _chain(error)])


def append_to_log(lines: Sequence[str]) -> str | None:
    """Append lines to a file beside Ray's logs; its path, or None if that failed."""
    node = ray._private.worker._global_node
    if node is None:
        return None
    path = Path(node.get_logs_dir_path()) / _LOG
    try:
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(f"{line}\n" for line in lines)
    except OSError:  # the disk is full, or the folder belongs to somebody else
        return None
    return str(path)
