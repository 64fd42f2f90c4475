"""Pricing: finding the columns that a restricted master lacks.

`site` states where neurons may stand and what is asked; `oracle` the interface. The oracles:
`oracles` (best of N random, and the neurons of a trained network), `local` (local search on the
integer weights), `ascent` (surrogate ascent, needs torch), and the exact ones, `enumeration` and
`milp`.
"""
