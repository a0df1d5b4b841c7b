"""A step as one CUDA graph: its kernels are launched together, so that small networks do not wait for Python."""

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from sagan.errors import UserError, first_line

Tensors = dict[str, Tensor]

# Steps that run as they are first: optimisers make their state, libraries choose their algorithms.
_WARM_UP = 3


class CaptureFailed(UserError):
    """A step could not be recorded. CUDA does not promise what state that leaves its whole process in."""


class GraphedStep:
    """`compute`, recorded once and then replayed.

    A replay is believed where it leaves what the step itself leaves: the first recorded step is carried out both ways.
    Where it leaves something else, one line says so and steps go on without a graph. Each object has a graph, a stream
    to record on and memory of its own, so that several runs of one process know nothing of each other.

    Args:
        compute: a step's work on the device, without host values of its own, given its inputs and whether the average
            is still a copy. When that changes, the graph is made anew.
        state: all tensors that a step changes, by name, the same storage each time.
        title: what lines begin with.
        capture: turns a function into what replays it and returns its outputs.
        exact: whether a step repeats its own bytes; where it does not, the two ways may differ a little.
    """

    def __init__(
        self,
        compute: Callable[[list[Tensors], bool], Tensors],
        state: Callable[[], Tensors],
        title: str,
        capture: Callable[[Callable[[], Tensors]], Callable[[], Tensors]],
        exact: bool = True,
    ) -> None:
        self._compute, self._state, self._title, self._capture = compute, state, title, capture
        self._exact = exact
        self._done = 0
        self._inputs: list[Tensors] = []
        self._replay: Callable[[], Tensors] | None = None
        self._replays_copying = True  # which kind of step `_replay` is
        self._given_up = False

    def __call__(self, inputs: list[Tensors], copies: bool) -> Tensors:
        """Carry out a step; returns scalars that stay on the device."""
        self._done += 1
        if self._given_up or self._done <= _WARM_UP:
            return self._compute(inputs, copies)
        if not self._inputs:
            self._inputs = [_copied(part) for part in inputs]
        for ours, theirs in zip(self._inputs, inputs, strict=True):
            for name, value in theirs.items():
                ours[name].copy_(value)
        if self._replay is None or copies != self._replays_copying:
            return self._record(copies)
        return {name: value.clone() for name, value in self._replay().items()}

    def restart(self) -> None:
        """The step becomes another one, perhaps of other shapes: warm up and record anew."""
        self._done, self._inputs, self._replay = 0, [], None

    def _record(self, copies: bool) -> Tensors:
        """Carry out the step at hand, and record it where its replay is the same."""
        self._replay = None  # with the memory that an earlier graph holds
        before, drawn = _copied(self._state()), _random_states()
        scalars = self._compute(self._inputs, copies)
        after, drawn_after = _copied(self._state()), _random_states()
        try:
            replay = self._capture(lambda: self._compute(self._inputs, copies))
            self._put_back(before, drawn)
            replay()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # What broke a recording off stands behind the error of its end.
            reason = first_line(error.__context__ if isinstance(error.__context__, RuntimeError) else error)
            raise CaptureFailed(
                f"{self._title}: its step cannot be recorded as a CUDA graph ({reason}); say "
                "execution.cuda_graph: false and start it again: it goes on from its last checkpoint"
            ) from None
        replayed = self._state()
        if same_bytes(after, replayed) if self._exact else near(before, after, replayed):
            self._replay, self._replays_copying = replay, copies
        else:
            self._given_up, self._inputs = True, []
            told = "its replay leaves something else; kernels are launched one by one"
            print(f"{self._title}: no CUDA graph: {told}", file=sys.stderr)
        self._put_back(after, drawn_after)
        return scalars

    @torch.no_grad()
    def _put_back(self, saved: Tensors, drawn: list[Tensor]) -> None:
        for name, value in self._state().items():
            value.copy_(saved[name])
        torch.set_rng_state(drawn[0])
        for of_gpu in drawn[1:]:
            torch.cuda.set_rng_state(of_gpu)


def cuda_capture(compute: Callable[[], Tensors]) -> Callable[[], Tensors]:
    """Record the kernels that `compute` launches."""
    graph = torch.cuda.CUDAGraph()
    # Unsafe calls of this thread alone break a recording off: the one that reads batches ahead may pin memory.
    # A stream and memory of this graph's own; torch's default is one stream for all.
    with torch.cuda.graph(graph, stream=torch.cuda.Stream(), capture_error_mode="thread_local"):
        outputs = compute()

    def replay() -> Tensors:
        graph.replay()
        return outputs

    return replay


def same_bytes(after: Tensors, replayed: Tensors) -> bool:
    """Whether two states are equal, bit by bit."""
    return all(torch.equal(value, replayed[name]) for name, value in after.items())


def near(before: Tensors, after: Tensors, replayed: Tensors) -> bool:
    """Whether a replay made the same step up to the order of sums.

    Counts and single numbers are nearly equal; of all others together, the difference is at most a tenth of the step.
    (One by one they may differ more: Adam makes whole steps of gradients that are rounding alone.)
    """
    difference = step = 0.0
    for name, value in after.items():
        if value.numel() == 1 or not value.is_floating_point():
            if not torch.allclose(value.double(), replayed[name].double(), rtol=0.01, atol=1e-3):
                return False
        else:
            difference += float((replayed[name].double() - value.double()).square().sum())
            step += float((value.double() - before[name].double()).square().sum())
    return difference <= 0.1**2 * step


def _random_states() -> list[Tensor]:
    """Of the generators that own code may draw from: the CPU's, and the device's at hand."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else [])]


def _copied(tensors: Tensors) -> Tensors:
    return {name: value.clone() for name, value in tensors.items()}
