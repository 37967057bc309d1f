"""Update and log-probabilities of a GRPO group: shared-prefix packing against TRL.

    python -m benchmarks.grpo

TRL's own `GRPOTrainer` is compared with one that packs the completions of a prompt behind a shared
prefix: the same model, the same group (one prompt with an image, 8 completions of 40 to 200
tokens), the same loss code.

- Log-probabilities: ``_get_per_token_logps_and_entropies`` without gradients, as for the old and
  the reference policy. TRL's is unchanged; rexkit's trainer overrides this method only, and uses
  tree attention (``--attention dense``: SDPA with a dense mask).
- Update: ``compute_loss`` (TRL's in both), backward, one step of TRL's optimizer.

Both trainers alternate in one process on one thread; ratios are medians of wall time, TRL's over
rexkit's. CPU time is printed beside it, for machines with other load. First the log-probabilities
and the losses of both are checked to be equal. Memory is the peak resident size of a new process
that makes one update, TRL's over rexkit's; neither uses gradient checkpointing.

The model has 66 million parameters by default, with a vision tower that costs about two thirds of
the language model per prompt token, as in Qwen3-VL at 1,300 tokens; this takes an hour on one free
core and 21 GB. ``--hidden-size 512 --layers 6 --repeats 2`` takes a third of it, ``--prompts 400``
one prompt only. The last line is JSON.

``--device cuda --dtype bfloat16 --attention flex`` runs on a GPU, where memory is the peak that
PyTorch allocates; in bfloat16 the difference of the log-probabilities is printed and not checked.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from PIL import Image
from trl import GRPOConfig, GRPOTrainer

from rexkit.models import TinyVLM
from rexkit.packing import use_tree_attention
from rexkit.training.grpo.shared_prefix import SharedPrefixGRPOTrainer

GROUP = 8
LONGEST = 200
PROMPT = "Detect cup, dog. Output the bounding box coordinates in [x0, y0, x1, y1] format."


TRAINERS = {"trl": GRPOTrainer, "ours": SharedPrefixGRPOTrainer}


def build_model(options: argparse.Namespace) -> TinyVLM:
    """Build the model of the options."""
    vlm = TinyVLM(
        weights=None,
        family=options.family,
        hidden_size=options.hidden_size,
        layers=options.layers,
        heads=options.hidden_size // 64,
        vision_hidden_size=options.vision_hidden_size,
        vision_layers=options.vision_layers,
        max_pixels=4096 * 4096,
    )
    vlm.model.to(options.device, getattr(torch, options.dtype))
    return vlm


def build_trainer(kind: str, vlm: TinyVLM, folder: str) -> GRPOTrainer:
    """Build TRL's trainer or rexkit's, ready for one update."""
    trainer = TRAINERS[kind](
        model=vlm.model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=GRPOConfig(
            output_dir=folder,
            use_cpu=vlm.model.device.type == "cpu",
            bf16=vlm.model.dtype == torch.bfloat16,
            gradient_checkpointing=False,
            per_device_train_batch_size=GROUP,
            num_generations=GROUP,
            max_completion_length=LONGEST,
            report_to="none",
        ),
        train_dataset=Dataset.from_list([{"prompt": PROMPT}] * GROUP),
        processing_class=vlm.processor,
    )
    # Set in TRL's training loop, which is not run here.
    trainer.current_gradient_accumulation_steps = 1
    trainer.create_optimizer()
    trainer.model.train()
    return trainer


def build_group(vlm: TinyVLM, prompt_tokens: int) -> dict[str, Any]:
    """Build one prompt of about that many tokens and its completions, as TRL prepares them."""
    rng = np.random.default_rng(0)
    cell = vlm.model.config.vision_config.patch_size * 2
    words = len(vlm.tokenizer(vlm.encoder.chat(PROMPT)).input_ids) - 1
    tokens = prompt_tokens - words
    # The nearly square image with the closest number of tokens.
    height = min(range(math.isqrt(tokens) - 6, math.isqrt(tokens) + 1), key=lambda h: tokens % h)
    width = tokens // height
    pixels = rng.integers(0, 256, (height * cell, width * cell, 3), dtype=np.uint8)
    asked = vlm.encoder.questions([Image.fromarray(pixels)] * GROUP, [PROMPT] * GROUP)
    lengths = torch.from_numpy(rng.integers(40, LONGEST + 1, GROUP))
    ids = torch.from_numpy(rng.choice(vlm.coordinate_ids, (GROUP, int(lengths.max()))))
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    group = {
        "prompt_ids": asked["input_ids"],
        "prompt_mask": asked["attention_mask"],
        "completion_ids": ids * mask,
        "completion_mask": mask,
        "advantages": torch.from_numpy(rng.standard_normal(GROUP)).float(),
        "num_items_in_batch": mask.sum(),
        "pixel_values": asked["pixel_values"],
        "image_grid_thw": asked["image_grid_thw"],
        "num_images": [1] * GROUP,
        "mm_token_type_ids": torch.cat([asked["mm_token_type_ids"], torch.zeros_like(ids)], 1),
    }
    device = vlm.model.device
    return {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in group.items()}


def log_prob_pass(trainer: GRPOTrainer, group: dict[str, Any]) -> torch.Tensor:
    """Compute the log-probabilities of the completions without gradients."""
    keys = ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
    with torch.no_grad():
        return trainer._get_per_token_logps_and_entropies(
            trainer.model,
            torch.cat([group["prompt_ids"], group["completion_ids"]], 1),
            torch.cat([group["prompt_mask"], group["completion_mask"]], 1),
            group["completion_ids"].shape[1],
            **{key: group[key] for key in keys},
        )[0]


def update(trainer: GRPOTrainer, group: dict[str, Any]) -> float:
    """Make one update and return the loss."""
    loss = trainer.compute_loss(trainer.model, group)
    loss.backward()
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    return loss.item()


def attend(kind: str, vlm: TinyVLM, options: argparse.Namespace) -> None:
    """Set the attention to measure; TRL uses the SDPA of transformers."""
    use_tree_attention(vlm.model, options.attention if kind == "ours" else "dense")


def seconds(call: Callable[..., object], *arguments: object) -> tuple[float, float]:
    """Return the wall time and the CPU time of a call; other load affects the latter less."""
    wall, cpu = time.perf_counter(), time.process_time()
    call(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - wall, time.process_time() - cpu


def take_times(options: argparse.Namespace, prompt_tokens: int) -> dict[str, Any]:
    """Return the medians of both trainers, which alternate, after checking that they agree."""
    with tempfile.TemporaryDirectory() as folder:
        vlm = build_model(options)
        group = build_group(vlm, prompt_tokens)
        trainers = {kind: build_trainer(kind, vlm, folder) for kind in TRAINERS}
        found, losses = {}, {}
        for kind, trainer in trainers.items():
            attend(kind, vlm, options)
            found[kind] = log_prob_pass(trainer, group)
            losses[kind] = trainer.compute_loss(vlm.model, group).item()
        difference = float((found["trl"] - found["ours"]).abs().max())
        if options.dtype == "float32":
            assert difference < 1e-4, difference
            assert abs(losses["trl"] - losses["ours"]) < 1e-5, losses
        taken: dict[str, list[tuple[float, float]]] = {}
        for _ in range(options.repeats):
            for kind, trainer in trainers.items():
                attend(kind, vlm, options)
                for call in (log_prob_pass, update):
                    taken.setdefault(f"{kind} {call.__name__}", []).append(
                        seconds(call, trainer, group)
                    )
        parameters = sum(p.numel() for p in vlm.model.parameters())
        vision = sum(p.numel() for n, p in vlm.model.named_parameters() if ".visual." in n)
    return {
        **{k: [statistics.median(v) for v in zip(*t, strict=True)] for k, t in taken.items()},
        "prompt": group["prompt_ids"].shape[1],
        "completions": int(group["completion_mask"].sum()),
        "parameters": parameters,
        "vision": vision,
        "difference": difference,
    }


def take_memory(options: argparse.Namespace, prompt_tokens: int, kind: str) -> dict[str, float]:
    """Return the peak memory in MB, of this process or of its GPU, of one update."""
    with tempfile.TemporaryDirectory() as folder:
        vlm = build_model(options)
        group = build_group(vlm, prompt_tokens)
        attend(kind, vlm, options)
        update(build_trainer(kind, vlm, folder), group)
    if options.device == "cuda":
        return {"peak_mb": torch.cuda.max_memory_allocated() / 2**20}
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def in_a_process(*arguments: str) -> dict[str, Any]:
    """Run this program in a new process for one prompt length and return its results."""
    command = [sys.executable, "-m", "benchmarks.grpo", *sys.argv[1:], *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the times and ratios of each prompt length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, nargs="+", default=[400, 1300, 2600])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--family", choices=["qwen3_vl", "qwen2_5_vl"], default="qwen3_vl")
    parser.add_argument("--hidden-size", type=int, default=768, help="a multiple of 64")
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--vision-hidden-size", type=int, default=256)
    parser.add_argument("--vision-layers", type=int, default=2)
    parser.add_argument(
        "--attention", choices=["tree", "dense", "flex"], default="tree", help="of rexkit's trainer"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.only:
        what, prompt = options.only
        taking = take_times if what == "times" else lambda o, p: take_memory(o, p, what)
        print(json.dumps(taking(options, int(prompt))))
        return
    results = {}
    for prompt in options.prompts:
        found = in_a_process("--only", "times", str(prompt))
        memory = {kind: in_a_process("--only", kind, str(prompt))["peak_mb"] for kind in TRAINERS}
        print(
            f"prompt {found['prompt']:.0f}, {GROUP} samples ({found['completions']:.0f} tokens); "
            f"{found['parameters'] / 1e6:.0f} M parameters, {found['vision'] / 1e6:.1f} M of them "
            f"vision; log-probabilities differ by {found['difference']:.0e} at most"
        )
        ratios = {"memory_ratio": memory["trl"] / memory["ours"]}
        for name, call in (("update_ratio", "update"), ("logprob_ratio", "log_prob_pass")):
            (theirs, their_cpu), (ours, our_cpu) = found[f"trl {call}"], found[f"ours {call}"]
            ratios[name] = theirs / ours
            print(
                f"  {call:<14} TRL {theirs:8.3f} s   ours {ours:8.3f} s   {ratios[name]:5.1f} x"
                f"   ({their_cpu / our_cpu:.1f} x in processor time)"
            )
        print(
            f"  {'peak memory':<14} TRL {memory['trl']:8.0f} MB  ours {memory['ours']:8.0f} MB  "
            f"{ratios['memory_ratio']:5.1f} x",
            flush=True,
        )
        results[str(prompt)] = {name: round(value, 2) for name, value in sorted(ratios.items())}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
