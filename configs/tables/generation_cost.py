"""What the key-value cache saves in writing polylines."""

title = (
    "VectorMapNet's generator at the town's size, polylines of 30 vertices in one frame, written with the key-value cache "
    "and by running the whole sequence for every token; the same lines to 1e-5 m. Milliseconds, medians of three."
)
seeds = [0]
columns = {"ms/cache": "with cache", "ms/no cache": "without", "speedup": "times faster"}
tool, end = "tools/benchmark_generation.py --vertices 30 --elements", "--out {out}"
rows = [
    dict(name="20 elements", command=f"{tool} 20 {end}"),
    dict(name="50 elements", command=f"{tool} 50 {end}"),
]
