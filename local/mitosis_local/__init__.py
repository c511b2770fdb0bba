"""A real Kubernetes of several nodes on one Linux machine, for demo and end-to-end tests."""
