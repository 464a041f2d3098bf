"""Are the predicted point uncertainties true on streets never seen?"""

_base_ = ["./_base_/town.py", "./_base_/finetune.py"]

title = (
    "Laplace scales of the predicted coordinates against their errors on held-out streets, as trained and times the factor "
    "that the other half of the scenes gives; errors and scales in metres, likelihood per coordinate."
)
seeds = [0]
columns = {
    "_delete_": True,
    "as_trained/expected_calibration_error": "calibration error",
    "calibrated/expected_calibration_error": "calibrated",
    "factor": "factor",
    "as_trained/mean_error_m": "mean error",
    "as_trained/mean_scale_m": "mean scale",
    "as_trained/log_likelihood": "log-likelihood",
    "calibrated/log_likelihood": "calibrated",
    "as_trained/num_coordinates": "coordinates",
}
options = " ".join(f"{key}={value}" for key, value in _base_.finetune.items())
tool = "tools/calibrate.py configs/town/maptr-uncertain_lss-pillars_60x30_town.py --out {out}"
rows = [
    dict(
        name="MapTR, camera + lidar",
        command=f"{tool} --work-dir work_dirs/uncertainty --picture docs/pictures/reliability.png --cfg-options {options}",
    )
]
