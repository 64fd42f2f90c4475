"""Pricing: finding the columns that a restricted master lacks.

`site` states where neurons may stand and what is asked; `oracle` the interface. The oracles: `draw`
(best of N random), `local` (local search on the integer weights), `ascent` (surrogate ascent,
needs torch), `given` (neurons of a trained network), and the exact ones, `enumeration` and `milp`.
"""
