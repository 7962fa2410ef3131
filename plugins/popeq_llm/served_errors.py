"""Why a served model gave no answer."""

from __future__ import annotations


class ServerError(Exception):
    """A question that got no answer; the text says what happened and what to do."""


class RefusedError(ServerError):
    """The server will not have the request as it is (400, 422): asked otherwise, it may."""


class UnreachableError(ServerError):
    """The server answers nobody: a wrong address or key, no connection, or a wait that is too long."""


class MiscountedError(ServerError):
    """The server keeps giving another number of choices than was asked for."""


class CancelledError(ServerError):
    """Another question failed, so this one is not asked any more."""
