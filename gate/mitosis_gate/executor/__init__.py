"""Carries out the plans that one backend connection alone cannot: `run.execute` is the entrance."""
