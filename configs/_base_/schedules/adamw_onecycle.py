"""AdamW in one cycle: up for a tenth of the training and down for the rest; ``eta_max`` is every group's peak."""

_base_ = ["./adamw_cosine.py"]

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = dict(_delete_=True, type="OneCycleLR", eta_max=1e-3, pct_start=0.1, by_epoch=False)
