"""The one error that command lines report as a sentence."""


class UserError(ValueError):
    """A mistake in a config, an argument or a file, in one sentence that names the value and what is allowed.

    Command lines print the sentence and exit with code 2. Every other exception is a bug or a failure of the machine
    and keeps its traceback.
    """
