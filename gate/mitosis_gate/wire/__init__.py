"""The MySQL protocol as bytes and values, without sockets."""
