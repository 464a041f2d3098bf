"""What fusion costs, and how the cost grows with the range."""

title = (
    "Fusion of one frame on one CPU core, cells of 0.6 m, inference: full attention grows with the square of the patch, windows with "
    "the patch. Peak memory is what the process needed beyond the model and its inputs."
)
seeds = [0]
columns = {"parameters": "parameters", "gflops": "GFLOPs", "ms": "ms", "peak_mib": "peak MiB"}
tool = "tools/benchmark_fusion.py configs/town/maptr"
concat, conv = "_lss-pillars_60x30_town.py --out {out}", "-convfusion_lss-pillars_60x30_town.py --out {out}"
windowed, full = (
    "-synergyfusion_lss-pillars_60x30_town.py --out {out}",
    "-synergyfusion_lss-pillars_60x30_town.py --full --out {out}",
)
rows = [
    dict(name="60 x 30 m, concatenation", command=f"{tool}{concat} --range 60x30"),
    dict(name="60 x 30 m, BEVFusion's convolutions", command=f"{tool}{conv} --range 60x30"),
    dict(name="60 x 30 m, SuperMapNet, windows", command=f"{tool}{windowed} --range 60x30"),
    dict(name="60 x 30 m, SuperMapNet, full", command=f"{tool}{full} --range 60x30"),
    dict(name="120 x 60 m, concatenation", command=f"{tool}{concat} --range 120x60"),
    dict(name="120 x 60 m, SuperMapNet, windows", command=f"{tool}{windowed} --range 120x60"),
    dict(name="120 x 60 m, SuperMapNet, full", command=f"{tool}{full} --range 120x60"),
    dict(name="240 x 60 m, concatenation", command=f"{tool}{concat} --range 240x60"),
    dict(name="240 x 60 m, SuperMapNet, windows", command=f"{tool}{windowed} --range 240x60"),
    # Full attention at 240 x 60 m did not fit into 24 GiB beside other work.
]
