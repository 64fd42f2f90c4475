"""The machine as numbers, without any Amaranth: mappings, folds, cycles and what they cost."""
