"""MMEngine child registries with scope ``mapstack``: configs name our classes through them.

``locations`` are imported on the first look-up, so that ``import mapstack`` stays light.
"""

from mmengine import registry as mmengine_registry
from mmengine.registry import Registry

__all__ = [
    "DATASETS",
    "DATA_SAMPLERS",
    "HOOKS",
    "LOG_PROCESSORS",
    "LOOPS",
    "METRICS",
    "MODELS",
    "OPTIM_WRAPPERS",
    "OPTIM_WRAPPER_CONSTRUCTORS",
    "RUNNERS",
    "TASK_UTILS",
    "TRANSFORMS",
]


def _child(name: str, parent: Registry, *locations: str) -> Registry:
    return Registry(name, parent=parent, scope="mapstack", locations=list(locations))


MODELS = _child("model", mmengine_registry.MODELS, "mapstack.models")
TASK_UTILS = _child("task util", mmengine_registry.TASK_UTILS, "mapstack.models")
DATASETS = _child("dataset", mmengine_registry.DATASETS, "mapstack.datasets")
DATA_SAMPLERS = _child("data sampler", mmengine_registry.DATA_SAMPLERS, "mapstack.datasets")
TRANSFORMS = _child("transform", mmengine_registry.TRANSFORMS, "mapstack.datasets.transforms")
METRICS = _child("metric", mmengine_registry.METRICS, "mapstack.evaluation")
HOOKS = _child("hook", mmengine_registry.HOOKS, "mapstack.engine")
LOOPS = _child("loop", mmengine_registry.LOOPS, "mapstack.engine")
LOG_PROCESSORS = _child("log processor", mmengine_registry.LOG_PROCESSORS, "mapstack.engine")
OPTIM_WRAPPERS = _child("optimizer wrapper", mmengine_registry.OPTIM_WRAPPERS, "mapstack.engine")
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    "optimizer wrapper constructor", mmengine_registry.OPTIM_WRAPPER_CONSTRUCTORS, "mapstack.engine"
)
RUNNERS = _child("runner", mmengine_registry.RUNNERS, "mapstack.engine")
# We register nothing in these; without a child of our scope MMEngine warns at every look-up.
for _parent in (
    mmengine_registry.EVALUATOR,
    mmengine_registry.FUNCTIONS,
    mmengine_registry.MODEL_WRAPPERS,
    mmengine_registry.OPTIMIZERS,
    mmengine_registry.PARAM_SCHEDULERS,
    mmengine_registry.VISBACKENDS,
    mmengine_registry.VISUALIZERS,
    mmengine_registry.WEIGHT_INITIALIZERS,
):
    _child(_parent.name, _parent)
