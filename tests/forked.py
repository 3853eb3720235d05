"""Work in a process that is forked from that of the tests, which has imported everything already."""

import os
import traceback
from collections.abc import Callable


def forked(work: Callable[[], str]) -> tuple[int, str]:
    """The exit status of the process, and the text that the work returned, or the traceback of its error.

    Parameters
    ----------
    work : callable
        Its text must fit into a pipe: 64 kB.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, work().encode())
            os._exit(0)
        except BaseException:
            os.write(writer, traceback.format_exc()[-4000:].encode())
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said
