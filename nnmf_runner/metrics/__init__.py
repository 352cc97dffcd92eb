"""Metrics of a factorisation: errors and floors, classification, clustering, recovery.  None of them fits."""
