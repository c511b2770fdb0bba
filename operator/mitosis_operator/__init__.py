"""The Mitosis operator, its agent beside each mysqld, and the command line tool."""
