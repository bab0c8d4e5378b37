"""Programs and faults of `planted_faults.py`."""
