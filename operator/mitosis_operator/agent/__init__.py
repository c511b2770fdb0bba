"""The agent: parent of one mysqld, its voice and its hands. Threads and the standard library only,
because it runs beside every instance and must stay small."""
