"""Errors of the command line tool: each ends the command with its sentence and status 1.

CliError
  NoCluster         the API server cannot be reached, or refuses; says which kubeconfig it is from
  NotFound          no such object; names those there are
"""

import click


class CliError(click.ClickException):
    pass


class NoCluster(CliError):
    pass


class NotFound(CliError):
    pass
