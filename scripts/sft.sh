#!/usr/bin/env bash
# Supervised fine-tuning of Rex-Omni on one or more GPUs, with the hyperparameters of the public script.
#   bash scripts/sft.sh
#   GPUS_PER_NODE=2 CONFIG=my_config.py OUTPUT_DIR=work_dirs/mine bash scripts/sft.sh --learning_rate 1e-5
# Flags that are appended count more than those below.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

CONFIG=${CONFIG:-sft/rex_omni_3b_grounding}
OUTPUT_DIR=${OUTPUT_DIR:-work_dirs/sft}
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
    --config "${CONFIG}" \
    --output_dir "${OUTPUT_DIR}" \
    --deepspeed configs/deepspeed/zero2.json \
    --bf16 \
    --num_train_epochs 1 \
    --per_device_train_batch_size 4 \
    --gradient_accumulation_steps 4 \
    --save_strategy steps \
    --save_steps 1000 \
    --save_total_limit 5 \
    --learning_rate 2e-5 \
    --mm_projector_lr 2e-5 \
    --vision_tower_lr 2e-6 \
    --optim adamw_torch \
    --warmup_ratio 0.03 \
    --weight_decay 0.01 \
    --max_grad_norm 1 \
    --lr_scheduler_type cosine \
    --logging_steps 1 \
    --model_max_length 4096 \
    --gradient_checkpointing True \
    --dataloader_num_workers 4 \
    --report_to none \
    "$@"
