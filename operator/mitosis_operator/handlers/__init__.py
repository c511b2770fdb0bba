"""All of kopf that is used: watching, login, and the process around it. Nothing is decided here."""
