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
        UserError: If huggingface_hub is missing, the name is wrong, or the hub refuses.
    """
    if find_spec('huggingface_hub') is None:
        raise UserError("--push needs huggingface_hub: pip install 'poa_mm[export]'")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    api = HfApi()
    try:
        api.create_repo(repository, exist_ok=True)
        return str(api.upload_folder(repo_id=repository, folder_path=str(folder), commit_message='Add model'))
    except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError) as error:
        raise UserError(f'cannot push to {repository!r}: {str(error).partition(chr(10))[0]}') from error
