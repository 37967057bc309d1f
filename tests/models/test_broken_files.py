"""A checkpoint with a file that is missing or cut off is named, whatever file it is."""

from __future__ import annotations

import shutil

import pytest

from rexkit.errors import UserError
from rexkit.models import PretrainedVLM, TinyVLM
from rexkit.models.checkpoint_marks import mark
from rexkit.models.checkpoints import final_fault, weights_fault
from rexkit.models.export import export
from rexkit.models.processors import family_of, load_processor

NEEDED = ["config.json", "model.safetensors", "processor_config.json", "tokenizer.json"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "final"
    TinyVLM(weights=None, hidden_size=64, layers=1, heads=1, vision_hidden_size=64).save(folder)
    return folder


def broken(whole, folder, name, how):
    shutil.copytree(whole, folder)
    data = (folder / name).read_bytes()
    if how == "missing":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(data[: len(data) // 2] if how == "half" else bytes(len(data)))
    return folder


@pytest.mark.parametrize("how", ["missing", "half", "zeros"])
def test_export_names_it_and_takes_another_checkpoint(whole, tmp_path, how):
    for file in sorted(path.name for path in whole.iterdir()):
        work_dir = tmp_path / file
        folder = broken(whole, work_dir / "final", file, how)
        if file in NEEDED or how == "zeros":
            with pytest.raises(UserError, match=r"final.*(whole|holds no|cannot|not match|no con)"):
                export(work_dir, tmp_path / "out")
        # Of a training, where every file is known.
        shutil.copytree(whole, work_dir / "checkpoint-2", dirs_exist_ok=True)
        mark(work_dir / "checkpoint-2", "a", 2)
        shutil.copy(work_dir / "checkpoint-2" / "checkpoint.json", folder)
        assert final_fault(folder).startswith(("is not whole", "holds no weights"))
    export(work_dir, tmp_path / "out")  # the last one: the checkpoint is taken
    assert weights_fault(tmp_path / "out") is None


@pytest.mark.parametrize("how", ["missing", "half"])
@pytest.mark.parametrize("name", NEEDED)
def test_loading_names_it(whole, tmp_path, name, how):
    folder = broken(whole, tmp_path / "final", name, how)
    load = {"config.json": family_of, "model.safetensors": PretrainedVLM}.get(
        name, lambda path: load_processor(path, "qwen3_vl")
    )
    with pytest.raises(UserError, match=r"final(: its \w+.* cannot be loaded| is not a check)"):
        load(str(folder))
