"""The only file that sends anything: a folder to the Hugging Face hub."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from poa_mm.errors import UserError


def push_folder(folder: str | Path, repository: str) -> str:
    """Upload an exported folder; the token is the one that ``hf auth login`` keeps.

    Args:
        folder: Of :func:`write_target`.
        repository: ``owner/name``; made where it is missing.

    Returns:
        The address of the commit.

    Raises:
        UserError: If huggingface_hub is missing, the name is wrong, or the hub refuses or cannot be reached.
    """
    if find_spec('huggingface_hub') is None:
        raise UserError("--push needs huggingface_hub: pip install 'poa_mm[export]'")
    from huggingface_hub import HfApi
    from huggingface_hub.constants import ENDPOINT
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi()
    try:
        api.create_repo(repository, exist_ok=True)
        return str(api.upload_folder(repo_id=repository, folder_path=str(folder), commit_message='Add model'))
    # No token and, with requests, no connection are an OSError; other versions of the hub's library have httpx.
    except (OSError, HFValidationError, *HfHubHTTPError.__bases__) as error:
        reason = str(error).partition('\n')[0]
        raise UserError(f'cannot push {folder} to {repository!r} at {ENDPOINT}: {reason}') from error
