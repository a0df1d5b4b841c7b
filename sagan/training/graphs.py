"""A step as one CUDA graph: its kernels are launched together, so that small networks do not wait for Python."""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from sagan.errors import first_line

Inputs = list[dict[str, Tensor]]
Scalars = dict[str, Tensor]
State = dict[str, Tensor]
Compute = Callable[[Inputs, bool], Scalars]

# Steps that run as they are first: optimisers make their state, libraries choose their algorithms.
_WARM_UP = 3


class GraphedStep:
    """`compute`, recorded once and then replayed.

    A replay is believed where it leaves the same bytes as the step itself: the first recorded step is carried out
    both ways. Where it cannot be recorded, or the bytes differ, one line says so and steps go on without a graph.
    Without deterministic algorithms a step does not repeat its own bytes, so that there is nothing to believe.

    Args:
        compute: a step's work on the device, without random numbers or host values of its own, given its inputs and
            whether the average is still a copy. When that changes, the graph is made anew.
        state: all tensors that a step changes, by name, the same storage each time.
        title: what the line begins with.
        capture: turns a function into what replays it and returns its outputs.
        exact: whether a step repeats its own bytes; where it does not, there is no graph.
    """

    def __init__(
        self,
        compute: Compute,
        state: Callable[[], State],
        title: str,
        capture: Callable[[Callable[[], Scalars]], Callable[[], Scalars]],
        exact: bool = True,
    ) -> None:
        self._compute, self._state, self._title, self._capture = compute, state, title, capture
        self._done = 0
        self._inputs: Inputs = []
        self._replay: Callable[[], Scalars] | None = None
        self._replays_copying = True  # which kind of step `_replay` is
        self.reason: str | None = None  # why there is no graph
        if not exact:
            self._go_without("training.deterministic = false: no step repeats another's bytes")

    def __call__(self, inputs: Inputs, copies: bool) -> Scalars:
        """Carry out a step; returns scalars that stay on the device."""
        self._done += 1
        if self.reason is not None or self._done <= _WARM_UP:
            return self._compute(inputs, copies)
        if not self._inputs:
            self._inputs = [{name: value.clone() for name, value in part.items()} for part in inputs]
        for ours, theirs in zip(self._inputs, inputs, strict=True):
            for name, value in theirs.items():
                ours[name].copy_(value)
        if self._replay is None or copies != self._replays_copying:
            return self._record(copies)
        return {name: value.clone() for name, value in self._replay().items()}

    def restart(self) -> None:
        """The step becomes another one, perhaps of other shapes: warm up and record anew."""
        self._done, self._inputs, self._replay = 0, [], None

    def _record(self, copies: bool) -> Scalars:
        """Carry out the step at hand, and record it where its replay is the same."""
        self._replay = None  # with the memory that an earlier graph holds
        before = _copied(self._state())
        scalars = self._compute(self._inputs, copies)
        after = _copied(self._state())
        try:
            replay = self._capture(lambda: self._compute(self._inputs, copies))
            _put_back(self._state(), before)
            replay()
        except RuntimeError as error:
            # What broke a recording off stands behind the error of its end.
            reason = first_line(error.__context__ if isinstance(error.__context__, RuntimeError) else error)
        else:
            if same_bytes(after, self._state()):
                self._replay, self._replays_copying = replay, copies
                return scalars
            reason = "its replay leaves other bytes"
        self._inputs = []
        _put_back(self._state(), after)
        self._go_without(reason)
        return scalars

    def _go_without(self, reason: str) -> None:
        self.reason = reason
        print(f"{self._title}: no CUDA graph ({reason}); kernels are launched one by one", file=sys.stderr)


def cuda_capture(compute: Callable[[], Scalars]) -> Callable[[], Scalars]:
    """Record the kernels that `compute` launches."""
    graph = torch.cuda.CUDAGraph()
    # Unsafe calls of this thread alone break a recording off: the one that reads batches ahead may pin memory.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = compute()

    def replay() -> Scalars:
        graph.replay()
        return outputs

    return replay


def same_bytes(after: State, replayed: State) -> bool:
    """Whether two states are equal."""
    return all(torch.equal(value, replayed[name]) for name, value in after.items())


def _copied(state: State) -> State:
    return {name: value.clone() for name, value in state.items()}


@torch.no_grad()
def _put_back(state: State, saved: State) -> None:
    for name, value in state.items():
        value.copy_(saved[name])
