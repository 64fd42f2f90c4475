"""Run folders, the one stage mechanism, and the stages: of networks, of hardware, of boards."""
