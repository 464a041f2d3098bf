"""Every BEV pool against lifting and adding, at the sizes of MapTRv2, BEVFusion and BEVDet: a table and a picture.

python tools/benchmark_ops.py [--sizes maptr bevfusion bevdet] [--device cpu] [--rounds 7] [--out outputs/benchmark_ops]
"""

import argparse
import json
import os
import platform
import subprocess
from dataclasses import asdict
from datetime import date
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from mapstack.ops.benchmark import SIZES, Measurement, copy_gb_s, measure


def machine(device: torch.device) -> str:
    """Date, device, commit and load: without them a timing says nothing."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    model = Path("/proc/cpuinfo").read_text().partition("model name\t: ")[2].partition("\n")[0]
    return (
        f"{date.today()}, {name if device.type == 'cuda' else model or name}, {torch.get_num_threads()} threads of "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}, commit {commit}"
    )


def table(results: list[Measurement], copy: float) -> str:
    """Markdown, the baseline ``index_add`` being 1."""
    base = next(result for result in results if result.name == "index_add")
    lines = [
        "| pool | forward ms | x | forward + backward ms | x | GB/s | of copy | peak MB | x | error |",
        "|---|" + "--:|" * 9,
    ]
    for r in sorted(results, key=lambda result: result.both_ms):
        lines.append(
            f"| {r.name} | {r.forward_ms:.2f} | {base.forward_ms / r.forward_ms:.1f} | {r.both_ms:.1f} | "
            f"{base.both_ms / r.both_ms:.1f} | {r.gb_s:.1f} | {100 * r.gb_s / copy:.0f} % | {r.peak_mb:.0f} | "
            f"{base.peak_mb / max(r.peak_mb, 1e-9):.1f} | {r.error:.1e} |"
        )
    return "\n".join(lines)


def draw(results: dict[str, list[Measurement]], caption: str, path: Path) -> None:
    """Bars of forward and forward + backward, logarithmic."""
    figure, axes = plt.subplots(1, len(results), figsize=(5 * len(results), 3.6), squeeze=False, layout="constrained")
    for axis, (size, measurements) in zip(axes[0], results.items(), strict=True):
        ordered = sorted(measurements, key=lambda result: -result.both_ms)
        names = [result.name for result in ordered]
        axis.barh(names, [result.both_ms for result in ordered], color="#9bb8d3", label="forward + backward")
        axis.barh(names, [result.forward_ms for result in ordered], color="#1f5a8a", height=0.4, label="forward")
        axis.set(xscale="log", xlabel="ms", title=size)
    axes[0][0].legend(fontsize=8)
    figure.suptitle(caption, fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--skip", nargs="*", default=[], help="pools to leave out, such as 'cumulative sum'")
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmark_ops"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    caption, copy = machine(options.device), copy_gb_s(options.device)
    text = f"{caption}; copy {copy:.1f} GB/s; medians of {options.rounds} rounds in turn\n"
    print(text)
    results = {}
    for name in options.sizes:
        results[name] = measure(SIZES[name], options.device, options.rounds, tuple(options.skip))
        section = f"\n{name}: {SIZES[name]}\n\n{table(results[name], copy)}\n"
        print(section, flush=True)
        text += section
    (options.out / "table.md").write_text(text)
    rows = {name: [asdict(result) for result in measured] for name, measured in results.items()}
    (options.out / "results.json").write_text(
        json.dumps({"machine": caption, "copy_gb_s": copy, "sizes": rows}, indent=1)
    )
    draw(results, caption, options.out / "picture.png")


if __name__ == "__main__":
    main()
