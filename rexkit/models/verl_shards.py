"""The weights in an actor folder of verl, as the public Rex-Omni GRPO code saves them.

Each process of a training with FSDP saves its part of every weight:
``actor/model_world_size_8_rank_0.pt`` to ``…_rank_7.pt``, each a pickle of a dict from names to
DTensors; config, tokenizer and processor are in ``actor/huggingface``.

The pickles are read by `torch.load` with ``weights_only=True``, and nothing but the names below is
allowed in them. The classes of `torch.distributed` are replaced by plain ones, for their attributes
change from one version of torch to the next, and because rebuilding a device mesh needs its
processes.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rexkit.errors import UserError

DESCRIPTION = "huggingface"
"""The folder in an actor folder that has config, tokenizer and processor."""

_RANK_FILE = re.compile(r"model_world_size_(\d+)_rank_(\d+)\.pt")
_STEP = re.compile(r"global_step_(\d+)")


def is_actor_folder(folder: Path) -> bool:
    """Return whether a folder holds shards of verl."""
    return next(folder.glob("model_world_size_*_rank_*.pt"), None) is not None


def last_actor_folder(folder: Path) -> Path | None:
    """Return the actor folder in ``global_step_N``, or the last one in a folder of such steps."""
    if is_actor_folder(folder / "actor"):
        return folder / "actor"
    steps = {
        int(match[1]): step / "actor"
        for step in folder.glob("global_step_*")
        if (match := _STEP.fullmatch(step.name)) and is_actor_folder(step / "actor")
    }
    return steps[max(steps)] if steps else None


def merge_shards(folder: Path) -> dict[str, torch.Tensor]:
    """Return the whole weights of an actor folder, by the names of the trained model.

    Weights that are sharded along one dimension are joined, in groups of processes that hold copies
    of each other only the first is read. Tensors without shards are taken once where all processes
    have the same, and joined along their first dimension otherwise.

    Args:
        folder: with a file for each process.

    Raises:
        UserError: a file is missing or cannot be read safely, or weights are sharded in another
            way, such as by tensor parallelism.
    """
    states = [_load(file) for file in _rank_files(folder)]
    names = list(states[0])
    for rank, state in enumerate(states):
        if list(state) != names:
            differing = next(iter(set(names) ^ set(state)), "the order of the weights")
            raise UserError(
                f"{folder}: processes 0 and {rank} did not save the same weights ({differing}); "
                "the files are of different runs or were not written to the end"
            )
    merged = {}
    for name in names:
        merged[name] = _merge([state.pop(name) for state in states], f"{folder}: {name}")
    return merged


def _rank_files(folder: Path) -> list[Path]:
    found: dict[int, dict[int, Path]] = {}
    for file in folder.iterdir():
        if match := _RANK_FILE.fullmatch(file.name):
            found.setdefault(int(match[1]), {})[int(match[2])] = file
    if len(found) != 1:
        sizes = " and ".join(map(str, sorted(found)))
        raise UserError(
            f"{folder} has shards of runs with {sizes} processes; keep those of one"
            if found
            else f"{folder} has no model_world_size_N_rank_R.pt"
        )
    [(size, files)] = found.items()
    missing = [rank for rank in range(size) if rank not in files]
    if missing:
        raise UserError(
            f"{folder}: model_world_size_{size}_rank_{missing[0]}.pt is missing, "
            f"{len(files)} of {size} files are there"
        )
    return [files[rank] for rank in range(size)]


def _merge(parts: list[Any], place: str) -> torch.Tensor:
    """Return a weight of which each process has a part."""
    first = parts[0]
    if not isinstance(first, _Sharded):
        if all(part.shape == first.shape and torch.equal(part, first) for part in parts[1:]):
            return torch.as_tensor(first).detach().clone()
        return torch.cat(parts).detach()
    # One placement for each dimension of the mesh; the first of two is of copies ("ddp", "fsdp").
    *outer, placement = first._spec.placements
    if any(not isinstance(p, _Replicate) for p in outer) or len(outer) > 1:
        raise UserError(f"{place} is sharded along several dimensions of the processes")
    if isinstance(placement, _Replicate):
        return first._local_tensor.detach().clone()
    if type(placement) is not _Shard:
        raise UserError(f"{place} has the placement {type(placement).__name__.strip('_')}")
    shape, dim = tuple(first._spec.tensor_meta.shape), placement.dim
    joined, length = [], 0
    for part in parts:
        if length < shape[dim]:  # the rest are copies, or empty
            joined.append(part._local_tensor.detach())
            length += joined[-1].shape[dim]
    whole = torch.cat(joined, dim)
    if whole.shape != shape:
        raise UserError(
            f"{place}: the shards make {tuple(whole.shape)}, but the weight is {shape}; "
            "the files are of different runs"
        )
    return whole


def _load(file: Path) -> dict[str, Any]:
    try:
        with _only_safe(_ALLOWED):
            state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        detail = f"it names {named[1]}" if named else str(error).strip().rpartition("\n")[2]
        raise UserError(
            f"{file} cannot be read without running code that is in it, or is damaged ({detail}); "
            "it must be a dict of tensors as verl saves it"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise UserError(f"{file} is no dict of tensors, as verl saves a model's weights")
    return dict(state)


@contextmanager
def _only_safe(allowed: list[Any]) -> Iterator[None]:
    """Allow some classes in pickles, and none of those that torch allows when it is imported."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(allowed)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


class _Attributes:
    """An object that takes whatever attributes are in the pickle, and does nothing."""

    def __new__(cls, *args: Any) -> _Attributes:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        for part in state if isinstance(state, tuple) else (state,):
            self.__dict__.update(part or {})


class _Spec(_Attributes):
    placements: tuple[Any, ...]
    tensor_meta: _TensorMeta


class _Shard(_Attributes):
    dim: int


class _StridedShard(_Shard):
    pass


class _Replicate(_Attributes):
    pass


class _Partial(_Attributes):
    pass


class _Mesh(_Attributes):
    pass


class _Layout(_Attributes):
    pass


class _TensorMeta(NamedTuple):
    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype


class _ShardOrder(NamedTuple):
    tensor_dim: int
    mesh_dims: tuple[int, ...]


class _Sharded(torch.Tensor):
    """The shard of a DTensor; an operation on it would be one on its missing storage."""

    _local_tensor: torch.Tensor
    _spec: _Spec

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise RuntimeError(f"{func} of a shard; take its _local_tensor")


_DTENSOR, _OLDER = "torch.distributed.tensor", "torch.distributed._tensor"
_ALLOWED: list[Any] = [
    (_Sharded, f"{_DTENSOR}.DTensor"),
    (_Sharded, f"{_OLDER}.api.DTensor"),
    (_Mesh, "torch.distributed.device_mesh.DeviceMesh"),
    (_Layout, "torch.distributed._mesh_layout._MeshLayout"),
    (_Layout, "torch.distributed._mesh_layout._FlatLayout"),
    (_ShardOrder, f"{_DTENSOR}._dtensor_spec.ShardOrderEntry"),
    *(
        (stand_in, f"{module}.{name}")
        for module in (f"{_DTENSOR}._dtensor_spec", f"{_OLDER}.placement_types")
        for name, stand_in in (("DTensorSpec", _Spec), ("TensorMeta", _TensorMeta))
    ),
    *(
        (stand_in, f"{module}.placement_types.{name}")
        for module in (_DTENSOR, _OLDER)
        for name, stand_in in (
            ("Shard", _Shard),
            ("_StridedShard", _StridedShard),
            ("Replicate", _Replicate),
            ("Partial", _Partial),
        )
    ),
]
