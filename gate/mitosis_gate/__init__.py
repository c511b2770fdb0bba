"""The Mitosis gate: a MySQL-protocol proxy that obeys the routing table."""
