"""Rewards: functions from a prediction and its ground truth to a score in [0, 1].

A reward is a function ``(prediction, target) -> float``::

    @REWARDS.register_module("my_reward")
    def my_reward(prediction, target):
        return float(len(prediction.instances) == len(target.instances))

A class works too: its objects are called in the same way, or once for many predictions through a
method ``batch(predictions, targets)`` that returns one number for each.
"""

from rexkit.rewards.box_rewards import box_f1, box_iou
from rexkit.rewards.keypoint_rewards import keypoint_oks
from rexkit.rewards.ocr_rewards import ocr_text
from rexkit.rewards.point_rewards import point_in_box, point_in_mask
from rexkit.rewards.polygon_rewards import polygon_iou
from rexkit.rewards.response_rewards import count, length, rejection, well_formed
from rexkit.rewards.weighted_rewards import RewardError, RewardTable, WeightedRewards, build_reward

__all__ = [
    "RewardError",
    "RewardTable",
    "WeightedRewards",
    "box_f1",
    "box_iou",
    "build_reward",
    "count",
    "keypoint_oks",
    "length",
    "ocr_text",
    "point_in_box",
    "point_in_mask",
    "polygon_iou",
    "rejection",
    "well_formed",
]
