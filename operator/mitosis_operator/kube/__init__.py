"""Door to Kubernetes: `client.py` speaks to the API server, `cache.py` remembers what was seen."""
