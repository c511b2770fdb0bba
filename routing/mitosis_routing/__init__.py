"""The contract between operator and gate: hash, slot ranges, routing table. It does no I/O."""
