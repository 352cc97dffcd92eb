"""What runs and sweeps leave behind: records, saved models, claims and plans, all written whole or not at all."""
