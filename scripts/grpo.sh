#!/usr/bin/env bash
# Reinforcement learning (GRPO) of Rex-Omni on one or more GPUs, with the batches of the public script:
# 64 prompts of 8 completions an update.
#   bash scripts/grpo.sh
#   GPUS_PER_NODE=2 MODEL_PATH=work_dirs/sft/final bash scripts/grpo.sh --max_steps 100
# Flags and keys that are appended count more than those below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CONFIG=${CONFIG:-grpo/rex_omni_3b}
OUTPUT_DIR=${OUTPUT_DIR:-work_dirs/grpo}
MODEL_PATH=${MODEL_PATH:-IDEA-Research/Rex-Omni}
NNODES=${NNODES:-1}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
MASTER_ADDR=${MASTER_ADDR:-localhost}
MASTER_PORT=${MASTER_PORT:-29500}

"${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES}" \
    --node_rank="${NODE_RANK:-0}" \
    --nproc_per_node="${GPUS_PER_NODE}" \
    --master_addr="${MASTER_ADDR}" \
    --master_port="${MASTER_PORT}" \
    tools/train.py \
    data.config_path="${CONFIG}" \
    worker.actor.model.model_path="${MODEL_PATH}" \
    worker.actor.global_batch_size=64 \
    worker.actor.micro_batch_size_per_device_for_update=4 \
    worker.rollout.n=8 \
    trainer.n_gpus_per_node="${GPUS_PER_NODE}" \
    trainer.nnodes="${NNODES}" \
    trainer.experiment_name=grpo \
    trainer.save_checkpoint_path="${OUTPUT_DIR}" \
    trainer.save_freq=100 \
    "$@"
