"""The subcommands of ``poa``, one module each."""
