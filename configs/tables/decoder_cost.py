"""What decoders cost at inference."""

title = (
    "One frame's BEV map decoded on one CPU core: the town's decoders with 40 queries, and milliseconds with other numbers "
    "of elements."
)
seeds = [0]
columns = {
    "parameters": "parameters",
    "gflops": "GFLOPs",
    "ms": "ms",
    "ms/20": "20 elements",
    "ms/40": "40 elements",
    "ms/80": "80 elements",
    "ms/160": "160 elements",
}
tool, end = "tools/benchmark_decoders.py configs/town/", "_lss-pillars_60x30_town.py --out {out}"
rows = [
    dict(name="MapTR", command=f"{tool}maptr{end}"),
    dict(name="MapTRv2", command=f"{tool}maptrv2{end}"),
    dict(name="MapTRv2 with SuperMapNet's interaction", command=f"{tool}maptrv2-interaction{end}"),
    dict(name="SuperMapNet", command=f"{tool}supermapnet{end}"),
    dict(name="StreamMapNet", command=f"{tool}streammapnet{end}"),
    dict(name="VectorMapNet", command=f"{tool}vectormapnet{end}"),
]
