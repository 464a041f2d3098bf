"""One short line per log interval, with the time that is left."""

from datetime import timedelta

from mmengine.runner import LogProcessor, Runner

from mapstack.registry import LOG_PROCESSORS

__all__ = ["CompactLogProcessor"]


@LOG_PROCESSORS.register_module()
class CompactLogProcessor(LogProcessor):
    """MMEngine's log processor by iterations, whose lines fit a terminal.

    ``train  150/2000   8%  eta 0:12:41  0.412 s/it (data 0.003)  lr 1.2e-03  loss 4.214  cls 1.02  points 2.31``

    Args:
        window_size: scalars are means over so many iterations.
    """

    def __init__(self, window_size: int = 20) -> None:
        super().__init__(window_size=window_size, by_epoch=False, log_with_hierarchy=True)

    def get_log_after_iter(self, runner: Runner, batch_idx: int, mode: str) -> tuple[dict, str]:
        """Scalars for the visualizer, and the line."""
        tag = self._collect_scalars(self._parse_windows_size(runner, batch_idx, self.custom_cfg), runner, mode, True)
        scalars = {name.removeprefix(f"{mode}/"): value for name, value in tag.items()}
        done, total = batch_idx + 1, runner.max_iters if mode == "train" else self._get_dataloader_size(runner, mode)
        tag["iter"] = runner.iter + 1 if mode == "train" else done
        parts = [f"{mode} {done:>{len(str(total))}}/{total} {done / total:4.0%}"]
        if "eta" in runner.message_hub.runtime_info:
            parts.append(f"eta {timedelta(seconds=int(runner.message_hub.get_info('eta')))}")
        if "time" in scalars:
            parts.append(f"{scalars.pop('time'):.3f} s/it (data {scalars.pop('data_time', 0.0):.3f})")
        if mode == "train":
            parts += [f"lr {scalars[name]:.1e}" for name in scalars if name == "lr"]
            parts += [_short(name, value) for name, value in scalars.items() if "loss" in name or name == "grad_norm"]
        return tag, "  ".join(parts)

    def get_log_after_epoch(
        self, runner: Runner, batch_idx: int, mode: str, with_non_scalar: bool = False
    ) -> tuple[dict, str]:
        """Metrics for the visualizer, and in the line those that are not of one threshold (``AP_divider@0.5``)."""
        tag, _ = super().get_log_after_epoch(runner, batch_idx, mode, with_non_scalar)
        metrics = [
            f"{name} {value:.4f}"
            for key, value in tag.items()
            if isinstance(value, float)
            and "@" not in key
            and not (name := key.removeprefix(f"{mode}/")).endswith("time")
        ]
        return tag, f"{mode} done  " + "  ".join(metrics)


def _short(name: str, value: float) -> str:
    return f"{name.removeprefix('loss_')} {value:.3g}"
