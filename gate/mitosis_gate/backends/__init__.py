"""The gate as a client of mysqld: connections, pools, and which instance is whose primary."""
