"""Trainers: supervised fine-tuning, and reinforcement learning in `rexkit.training.grpo`."""
