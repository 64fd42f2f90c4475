"""From samples to a certified network: witnesses, columns, pricing, selection."""
