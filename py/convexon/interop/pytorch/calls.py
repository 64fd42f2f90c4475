"""What the modules of a PyTorch model read and give, found by running it once.

Of each call of a leaf module it is told whose results it reads: of one module, or a sum of several
that ``forward`` adds up by itself. Whatever else is computed outside of modules is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from convexon.errors import InputError
from convexon.interop.pytorch.neurons import kind_of, reader, steps_inside
from convexon.snn.neuron import ReadoutMode

SAMPLE = "the sample"
"""What calls the sample, or a step of it, among the names of modules."""


@dataclass(frozen=True)
class Seen:
    """A tensor, and how often it had been written to when it was seen.

    It is kept, so that no other takes its memory while the model runs.
    """

    tensor: Any
    version: int

    @classmethod
    def now(cls, tensor: Any) -> Seen:
        """The tensor as it is."""
        return cls(tensor.detach(), tensor._version)

    def is_all_of(self, other: Seen) -> bool:
        """Whether this is the other, or the same numbers in the same order in another shape."""
        mine, its = self.tensor, other.tensor
        if mine.data_ptr() != its.data_ptr() or mine.numel() != its.numel():
            return False
        if self.version != other.version:
            return False
        if mine.shape == its.shape:
            return bool(mine.stride() == its.stride())
        return bool(mine.is_contiguous() and its.is_contiguous())


@dataclass(frozen=True)
class _Sum:
    """Two tensors, and what ``forward`` has made of them by adding."""

    total: Seen
    terms: tuple[Seen, Seen]


@dataclass(frozen=True)
class Call:
    """One call of a leaf module: what it read and what it gave.

    ``reads`` are the names of the modules whose results it reads the sum of, or `SAMPLE`; ``place``
    counts the calls of all modules. ``left`` is the last tensor that came with what it gave, such
    as membranes.
    """

    name: str
    module: Any
    read: Seen
    gave: Seen
    place: int
    left: Seen | None = None
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trace:
    """The first call of each leaf module, in order, and what the model returns of the last.

    ``membranes`` tells whether that are its membranes, and not what it gives to modules.
    """

    calls: list[Call]
    membranes: bool


def traced(torch: Any, model: Any, sample: Any, integrators: ReadoutMode) -> Trace:
    """Run the model, and return what its leaf modules read and give.

    Raises
    ------
    InputError
        If the model does not run, or ``forward`` computes outside of modules, or returns another
        reading of membranes than ``integrators``.
    """
    found: dict[str, list[Call]] = {}
    sums: list[_Sum] = []
    handles, open_calls = [], [0]

    def watch(name: str, module: Any) -> None:
        reading: list[Seen] = []

        def before(_: Any, read: tuple[Any, ...]) -> None:
            open_calls[0] += 1
            reading[:] = [Seen.now(each) for each in read[:1] if isinstance(each, torch.Tensor)]

        def after(_: Any, __: Any, gave: Any) -> None:
            open_calls[0] -= 1
            first = gave[0] if isinstance(gave, tuple) else gave
            if reading:
                place = sum(map(len, found.values()))
                rest = gave[1:] if isinstance(gave, tuple) else ()
                others = [Seen.now(each) for each in rest if isinstance(each, torch.Tensor)]
                left = others[-1] if others else None
                call = Call(name, module, reading[0], Seen.now(first), place, left)
                found.setdefault(name, []).append(call)

        handles.append(module.register_forward_pre_hook(before))
        handles.append(module.register_forward_hook(after))

    for name, module in _leaves(torch, model):
        watch(name, module)
    given = sample if isinstance(sample, torch.Tensor) else torch.as_tensor(np.asarray(sample))
    if given.dtype == torch.float64 or not given.is_floating_point():
        given = given.to(_type_of(torch, model))
    start = Seen.now(given)
    try:
        with torch.no_grad(), _additions(sums, open_calls):
            result = model(given)
    except Exception as error:  # whatever the user's own forward raises
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"the model does not run on the sample: {told}") from error
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise InputError("the model must call modules in its forward")
    row = _followed(list(found.values()), sums, start)
    last = _Returned(torch, result, found[row[-1].name], lead_of(row))
    return Trace(row, last.are_membranes(integrators))


def _leaves(torch: Any, model: Any) -> Iterator[tuple[str, Any]]:
    """Modules that compute, by their names: neurons, and others that have no modules inside."""
    inside: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if inside and name.startswith(inside):
            continue
        if reader(module, name) is not None:
            inside = (*inside, f"{name}.")  # a neuron's own parts are read with it
        elif any(True for _ in module.children()):
            continue
        elif isinstance(module, torch.nn.Identity | torch.nn.modules.dropout._DropoutNd):
            continue  # they hand on what they read, and often serve several layers
        yield name or type(module).__name__, module


def _additions(sums: list[_Sum], open_calls: list[int]) -> AbstractContextManager[Any]:
    """What adds to ``sums`` each addition outside of modules, of tensors of one shape."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Additions(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            adds = getattr(func, "__name__", "") in _ADDS and not open_calls[0]
            terms = [each for each in args if isinstance(each, torch.Tensor)]
            plain = adds and not kwargs and len(args) == len(terms) == 2
            seen = [Seen.now(each) for each in terms] if plain else []
            found = func(*args, **(kwargs or {}))
            if plain and seen[0].tensor.shape == seen[1].tensor.shape == found.shape:
                sums.append(_Sum(Seen.now(found), (seen[0], seen[1])))
            return found

    return Additions()


_ADDS = ("add", "add_", "__add__", "__radd__", "__iadd__")


def _type_of(torch: Any, model: Any) -> Any:
    """The floating-point type that a model computes in."""
    types = {each.dtype for each in model.parameters() if each.is_floating_point()}
    return torch.float64 if types == {torch.float64} else torch.float32


def lead_of(row: list[Call]) -> int:
    """Axes ahead of features: samples, and steps where modules take all of them at once."""
    neurons = (each.module for each in row if kind_of(each.module) is not None)
    return 2 if any(steps_inside(each) for each in neurons) else 1


def _followed(modules: list[list[Call]], sums: list[_Sum], sample: Seen) -> list[Call]:
    """The first call of each module, with what it reads, which must be so at each step.

    Steps may be gone through one by one, or by each module in turn.
    """
    first = modules[0]
    for calls in modules:
        if len(calls) != len(first):
            raise InputError(
                f"{calls[0].name} must be called as often as {first[0].name}, once a step, not "
                f"{len(calls)} times to {len(first)}: give each layer modules of its own"
            )
    for call in first:
        if not _is_step_of(call.read, sample):
            raise InputError(
                f"{call.name} must read the sample, or a step of it, unchanged: what the forward "
                "computes before it belongs into a module (a sample that it repeats must hold "
                "different numbers)"
            )
    row = [replace(first[0], reads=(SAMPLE,))]
    for below, calls in pairwise(modules):
        reads = set()
        for step, call in enumerate(calls):
            known = [each[step] for each in modules if each[step].place < call.place]
            found = _sources(call.read, [(SAMPLE, first[step].read)], known, sums)
            reads.add(None if found is None else tuple(sorted(found)))
        (each, *others) = reads
        if each is None or others:
            raise InputError(
                f"{calls[0].name} must read what {below[0].name} gives, unchanged: what the "
                "forward computes between them, but for sums of what modules give, belongs into a "
                "module"
            )
        row.append(replace(calls[0], reads=each))
    used = {name for each in row for name in each.reads}
    for call in row[:-1]:
        if call.name not in used:
            raise InputError(
                f"{call.name} must be read by a module after it, unchanged: nothing is dropped, "
                "and what the forward computes of it belongs into a module"
            )
    return row


def _sources(
    read: Seen, given: list[tuple[str, Seen]], known: list[Call], sums: list[_Sum]
) -> list[str] | None:
    """Of whose results a tensor is the sum; None where it is something else."""
    gave = [(each.name, each.gave) for each in sorted(known, key=lambda each: -each.place)]
    found: list[str] = []
    waiting = [read]
    while waiting:
        each = waiting.pop()
        name = next((name for name, seen in (*gave, *given) if each.is_all_of(seen)), None)
        if name is not None:
            found.append(name)
            continue
        total = next((one for one in reversed(sums) if each.is_all_of(one.total)), None)
        if total is None or len(found) + len(waiting) > _MOST_TERMS:
            return None
        waiting.extend(total.terms)
    return found


_MOST_TERMS = 1000
"""Most results that are added up to what a module reads."""


def _is_step_of(read: Seen, sample: Seen) -> bool:
    """Whether a module reads the sample, a part of it in its order, or the sample at each step."""
    mine, its = read.tensor, sample.tensor
    if its._version != sample.version:
        return False
    if mine.untyped_storage().data_ptr() == its.untyped_storage().data_ptr():
        lengths = zip(mine.shape[1:], mine.stride()[1:], strict=True)
        strides = [stride for length, stride in lengths if length > 1]
        return strides == sorted(strides, reverse=True)
    # A sample of one number cannot tell whether anything was computed of it.
    if mine.ndim != its.ndim + 1 or bool((its == its.flatten()[0]).all()):
        return False
    axes = [axis for axis in (0, 1) if mine.select(axis, 0).shape == its.shape]
    return any(bool((mine == its.unsqueeze(axis)).all()) for axis in axes)


@dataclass(frozen=True)
class _Returned:
    """What a model returns, beside the calls of its last module."""

    torch: Any
    result: Any
    last: list[Call]
    lead: int

    def are_membranes(self, integrators: ReadoutMode) -> bool:
        """Whether membranes are returned, in the reading asked for, and not what modules get.

        Raises `InputError` if it is neither, or another reading.
        """
        name, module = self.last[0].name, self.last[0].module
        neurons = None if (found := reader(module, name)) is None else found(module, name)
        integrate = neurons is not None and neurons.integrate
        steps = self._stacked([call.gave for call in self.last])
        sums = [way for axis in self._axes for way in (steps.sum(axis), steps.mean(axis))]
        if not integrate and self._is_one_of([steps[-1], *self._all(steps), *sums]):
            return False
        left = [call.left for call in self.last if call.left is not None]
        if integrate or (neurons is not None and left):
            membranes = steps if integrate else self._stacked(left)
            if self._is_read(membranes, integrators):
                return True
        told = "the membranes of {}, of each step, of the last, or the largest"
        told = told if integrate else "what {} gives, of each step or their sum or mean"
        raise InputError(
            f"the model must return {told.format(name)}: what the forward computes after it "
            "belongs into a module"
        )

    def _is_read(self, membranes: Any, integrators: ReadoutMode) -> bool:
        """Whether these are returned; raises `InputError` if in another reading."""
        ways = {
            ReadoutMode.PEAK: [membranes.amax(axis) for axis in self._axes],
            ReadoutMode.MEMBRANE: [membranes.select(axis, -1) for axis in self._axes],
        }
        if self._is_one_of([*self._all(membranes), *ways[integrators]]):
            return True
        other = next((mode for mode in ways if self._is_one_of(ways[mode])), None)
        if other is not None:
            raise InputError(
                f"the model returns membranes of {self.last[0].name} by another reading than "
                f"{integrators.value}: take integrators={other.value!r}"
            )
        return False

    @property
    def _axes(self) -> range:
        """Axes of calls, and where modules take all steps at once, of samples and steps."""
        return range(self.lead + 1 if self.lead > 1 else 1)

    def _stacked(self, seen: list[Seen]) -> Any:
        return self.torch.stack([each.tensor for each in seen])

    def _all(self, steps: Any) -> list[Any]:
        """All steps, wherever their axis lies."""
        return [steps.movedim(0, axis) for axis in range(steps.ndim)]

    def _is_one_of(self, ways: list[Any]) -> bool:
        for each in _tensors(self.torch, self.result):
            for way in ways:
                values = each.detach().to(way.dtype).flatten()
                if len(values) == way.numel() and self.torch.allclose(values, way.flatten()):
                    return True
        return False


def _tensors(torch: Any, result: Any) -> Iterator[Any]:
    """Each tensor of what a model returns, and those of a list, one a step, as one."""
    if isinstance(result, torch.Tensor):
        yield result
    elif isinstance(result, list | tuple | Mapping):
        held = list(result.values()) if isinstance(result, Mapping) else list(result)
        if held and all(isinstance(each, torch.Tensor) for each in held):
            yield torch.cat([each.flatten() for each in held])
        for each in held:
            yield from _tensors(torch, each)
