"""Studies: the experiments of arXiv:2605.08022 on Convexon's method, beside tuned baselines."""
