"""The custom resources as frozen values, and what is wrong with them in sentences."""
