"""Actor folders of verl, saved by two processes with FSDP as its checkpoint manager saves them."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText
from two_processes import run_two_processes

from rexkit.cli import run
from rexkit.cli.export_command import main, merge_main
from rexkit.errors import UserError
from rexkit.models import PretrainedVLM, TinyVLM
from rexkit.models.checkpoints import checkpoint_kind, finished_model
from rexkit.models.verl_shards import merge_shards

# The vocabulary has 1,577 rows, so the two halves of the embeddings differ in size.
SMALL = dict(family="qwen2_5_vl", hidden_size=64, layers=1, heads=1, vision_hidden_size=64)

JOB = """
import torch, torch.distributed as dist
from pathlib import Path
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, ShardingStrategy
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from rexkit.models import TinyVLM

kind, folder = {kind!r}, Path({folder!r})
dist.init_process_group("gloo")
rank = dist.get_rank()
vlm = TinyVLM(weights=None, **{sizes!r})
mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("fsdp",))
model = FullyShardedDataParallel(
    vlm.model, device_id=torch.device("cpu"), device_mesh=mesh, use_orig_params=False,
    sharding_strategy=ShardingStrategy.FULL_SHARD,
)
optimizer = torch.optim.AdamW(model.parameters())
states = get_state_dict(model, optimizer, options=StateDictOptions(cpu_offload=True))
if kind == "copies":
    # FSDP shards in copies with four processes or more; the DTensors are the same.
    mesh = init_device_mesh("cpu", (2, 1), mesh_dim_names=("ddp", "fsdp"))
    places = [Replicate(), Shard(0)]
    states = ({{
        name: distribute_tensor(tensor.full_tensor(), mesh, places)
        for name, tensor in states[0].items()
    }}, states[1])
extra = dict(lr_scheduler=dict(last_epoch=3), rng=dict(cpu=torch.get_rng_state()))
if kind == "older":
    # As transformers 4.49 names the weights, and torch 2.6 pickles a mesh.
    names = {{"model.visual.": "visual.", "model.language_model.": "model."}}
    for new, old in names.items():
        states = ({{
            name.replace(new, old, 1) if name.startswith(new) else name: tensor
            for name, tensor in states[0].items()
        }}, states[1])
    DeviceMesh.__getstate__ = lambda self: dict(
        device_type="cpu", mesh=self.mesh, mesh_dim_names=self.mesh_dim_names,
        _flatten_mesh_list=(0, 1), _thread_id=None,
    )
folder.mkdir(parents=True, exist_ok=True)
for name, state in (("model", states[0]), ("optim", states[1]), ("extra_state", extra)):
    torch.save(state, folder / f"{{name}}_world_size_2_rank_{{rank}}.pt")
if rank == 0:
    inner = model._fsdp_wrapped_module
    inner.config.save_pretrained(folder / "huggingface")
    inner.generation_config.save_pretrained(folder / "huggingface")
    vlm.processor.save_pretrained(folder / "huggingface")
dist.barrier()
dist.destroy_process_group()
"""


@pytest.fixture(scope="module")
def actor_of(tmp_path_factory):
    """Return the actor folder that a kind of training left; read only."""
    known = {}

    def make(kind: str) -> Path:
        if kind not in known:
            folder = tmp_path_factory.mktemp(kind) / "global_step_8" / "actor"
            folder.parent.mkdir()
            script = JOB.format(kind=kind, folder=str(folder), sizes=SMALL)
            run_two_processes(folder.parent, script)
            known[kind] = folder
        return known[kind]

    return make


@pytest.fixture
def actor(actor_of, tmp_path) -> Path:
    """A copy of an actor folder."""
    return shutil.copytree(actor_of("shards"), tmp_path / "actor")


def trained() -> dict[str, torch.Tensor]:
    return TinyVLM(weights=None, **SMALL).model.state_dict()


@pytest.mark.parametrize("kind", ["shards", "copies", "older"])
def test_merged_weights_are_those_of_the_training(kind, actor_of, tmp_path):
    actor = actor_of(kind)
    files = sorted(file.name for file in actor.glob("model_*"))
    assert files == [f"model_world_size_2_rank_{rank}.pt" for rank in range(2)]
    sizes = [(actor / name).stat().st_size for name in files]
    whole = sum(tensor.nbytes for tensor in trained().values())
    assert (max(sizes) > 0.9 * whole) == (kind == "copies")
    assert checkpoint_kind(actor) == "verl"
    if kind != "older":
        merged = merge_shards(actor)
        for name, tensor in trained().items():
            torch.testing.assert_close(merged[name], tensor, rtol=0, atol=0)
    assert main([str(actor), str(tmp_path / "plain")]) == 0
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path / "plain", dtype="auto")
    for name, tensor in trained().items():
        torch.testing.assert_close(plain.state_dict()[name], tensor.bfloat16(), rtol=0, atol=0)
    assert PretrainedVLM(str(tmp_path / "plain")).encoder.chat("Hi.").count("Hi.") == 1


def test_the_public_script_merges_and_uploads(actor, monkeypatch, capsys):
    calls = []

    class Recorder:
        def create_repo(self, **arguments):
            calls.append(("create_repo", arguments))

        def upload_folder(self, **arguments):
            assert (arguments["folder_path"] / "model.safetensors").is_file()
            calls.append(("upload_folder", arguments))

    monkeypatch.setattr(huggingface_hub, "HfApi", Recorder)
    assert merge_main(["--local_dir", str(actor)]) == 0
    assert calls == []
    weights = load_file(actor / "huggingface" / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}
    assert merge_main(["--local_dir", str(actor), "--hf_upload_path", "me/rex"]) == 0
    repository = {"repo_id": "me/rex", "repo_type": "model"}
    assert calls == [
        ("create_repo", {**repository, "exist_ok": True}),
        ("upload_folder", {**repository, "folder_path": actor / "huggingface"}),
    ]
    assert "uploaded to me/rex" in capsys.readouterr().out

    def refuse(self, **arguments):
        raise huggingface_hub.errors.LocalTokenNotFoundError("no token; run hf auth login")

    monkeypatch.setattr(Recorder, "create_repo", refuse)
    assert run(merge_main, ["--local_dir", str(actor), "--hf_upload_path", "me/rex"]) == 2
    error = capsys.readouterr().err
    assert "--hf_upload_path me/rex: no token" in error
    assert str(actor / "huggingface") in error


def test_the_last_step_is_taken(actor_of, tmp_path):
    shutil.copytree(actor_of("shards"), tmp_path / "global_step_10" / "actor")
    (tmp_path / "global_step_9" / "actor").mkdir(parents=True)
    assert finished_model(tmp_path) == tmp_path / "global_step_10" / "actor"
    assert finished_model(tmp_path / "global_step_10") == tmp_path / "global_step_10" / "actor"


class Harmful:
    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return (os.mkdir, (str(self.file),))


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: {"weight": x}, lambda x: {x: 1}])
def test_no_code_in_a_shard_is_run(actor, tmp_path, wrap):
    torch.save(wrap(Harmful(tmp_path / "harmed")), actor / "model_world_size_2_rank_1.pt")
    before = torch.serialization.get_safe_globals()
    with pytest.raises(UserError, match=r"rank_1\.pt cannot be read without running code") as error:
        merge_shards(actor)
    assert "it names posix.mkdir" in str(error.value)
    assert not (tmp_path / "harmed").exists()
    assert set(torch.serialization.get_safe_globals()) == set(before)
    pickle.loads(pickle.dumps(Harmful(tmp_path / "harmed")))
    assert (tmp_path / "harmed").exists()  # it would have been


def test_damaged_and_missing_files(actor):
    second = actor / "model_world_size_2_rank_1.pt"
    content = second.read_bytes()
    second.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"rank_1\.pt cannot be read"):
        merge_shards(actor)
    torch.save([1, 2], second)
    with pytest.raises(UserError, match="no dict of tensors"):
        merge_shards(actor)
    torch.save({"other": torch.ones(1)}, second)
    with pytest.raises(UserError, match="did not save the same weights"):
        merge_shards(actor)
    second.unlink()
    with pytest.raises(UserError, match=r"rank_1\.pt is missing, 1 of 2"):
        merge_shards(actor)
    (actor / "model_world_size_4_rank_0.pt").touch()
    with pytest.raises(UserError, match="with 2 and 4 processes"):
        merge_shards(actor)


def test_shards_that_do_not_make_the_weight(actor):
    first, second = (actor / f"model_world_size_2_rank_{rank}.pt" for rank in range(2))
    shutil.copy(first, second)  # the vocabulary is odd, so the first half is longer
    with pytest.raises(
        UserError, match=r"embed_tokens.*the shards make \(1578, 64\).*\(1577, 64\)"
    ):
        merge_shards(actor)


def test_tensors_without_shards(actor):
    for rank in range(2):
        state = {"same": torch.ones(2), "parts": torch.full((1,), rank)}
        torch.save(state, actor / f"model_world_size_2_rank_{rank}.pt")
    merged = merge_shards(actor)
    assert merged["same"].tolist() == [1, 1]
    assert merged["parts"].tolist() == [0, 1]
