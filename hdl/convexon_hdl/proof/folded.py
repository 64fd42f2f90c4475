def folded_readout_obligations(e, p): yield from ()
def mixed_stage_obligations(e, p): yield from ()
