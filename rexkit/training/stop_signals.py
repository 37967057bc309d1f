"""SIGTERM and SIGINT during training: the current step is finished, a checkpoint written."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import torch
from transformers import TrainerCallback

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals(TrainerCallback):
    """Stop the training at the end of the step in which SIGTERM or SIGINT comes.

    A context manager: outside of it signals do what they did before. A second signal ends the
    process at once. Processes that train together stop after the same step.

    Attributes:
        received: number of the signal, None if there was none.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for signum in _SIGNALS:
                self._before[signum] = signal.signal(signum, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            # None is a handler that Python cannot set again.
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)

    def _receive(self, signum: int, frame: Any) -> None:
        now = time.monotonic()
        if self.received is None:
            self.received, self._since = signum, now
            name = signal.Signals(signum).name
            note = f"\n{name}: the step is finished and a checkpoint written; again: end at once\n"
            os.write(2, note.encode())  # a handler must not wait for the lock of a stream
        # torchrun passes on what a terminal has sent to its processes already.
        elif now - self._since > (2 if "TORCHELASTIC_RUN_ID" in os.environ else 0):
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop if a process has received a signal."""
        if args.world_size > 1:
            received = torch.tensor(self.received or 0, device=args.device)
            torch.distributed.all_reduce(received, torch.distributed.ReduceOp.MAX)
            self.received = int(received) or None
        if self.received is not None:
            control.should_training_stop = control.should_save = True
            # What decides which checkpoint is best must not be left out.
            control.should_evaluate &= args.load_best_model_at_end

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Do at the end of an epoch that was cut nothing more than at the end of its last step."""
        if self.received is not None:
            control.should_save = control.should_evaluate = False
