"""From models to Kubernetes objects, as plain dicts; nothing here asks or changes a cluster."""
