"""Where OpenStreetMap's streets lie on real drives."""

title = (
    "OpenStreetMap's streets on real drives: metres from the ego track to the nearest street, and the share of samples a "
    "metre apart on streets within 30 m of the track that lie on the road of the HD map."
)
seeds = [0]
columns = dict(
    median_m="median, m", p90_m="90 %, m", max_m="largest, m", num_samples="samples", share_inside="on the road"
)
_drives = [
    *("scene-0061", "scene-0103", "scene-0655", "scene-0757", "scene-1077", "scene-1094"),
    *("7fab2350-7eaf-3b7e-a39d-6937a4c1bede", "adcf7d18-0510-35b0-a2fa-b4cea13a6d76"),
]
rows = [dict(name=drive, command=f"tools/inspect_prior.py --drive {drive} --metrics {{out}}") for drive in _drives]
