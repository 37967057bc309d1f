"""Worker processes that load data: they end with the training, and only with it."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

_PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


class WorkerSetup:
    """What a worker process of a `torch.utils.data.DataLoader` does first.

    On Linux it is killed as soon as the training process is gone, however that ended. Signals that
    are sent to all processes, as by Ctrl-C or a cluster, are left to the training process.

    Args:
        then: called with the number of the worker, as ``worker_init_fn``.
    """

    def __init__(self, then: Callable[[int], Any] | None = None):
        self.then = then
        self.training = os.getpid()

    def __call__(self, worker: int) -> None:
        """Set up a worker process."""
        if sys.platform == "linux":
            if os.getppid() == self.training:
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            else:  # started by a server of forks
                threading.Thread(target=self._end_with_training, daemon=True).start()
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, signal.SIG_IGN)
        if self.then is not None:
            self.then(worker)

    def _end_with_training(self) -> None:
        try:
            select.select([os.pidfd_open(self.training)], [], [])
        except ProcessLookupError:
            pass
        except OSError:  # not allowed here
            return
        os._exit(1)


def set_up_workers(loader: Any) -> Any:
    """Return a data loader whose workers start with `WorkerSetup`."""
    if loader.num_workers:
        loader.worker_init_fn = WorkerSetup(loader.worker_init_fn)
    return loader
