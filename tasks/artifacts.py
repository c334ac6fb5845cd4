"""The artifact store: files under one fsspec URL, a folder a stage and key, the manifest written last.

A reader trusts only a folder with a manifest. A file is verified against its digest before its first use in a process.
Never deletes what is finished, but for the raw rows that `forget` takes away and a folder whose stage is done anew.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import fsspec
from filelock import FileLock, Timeout
from pydantic import BaseModel, ValidationError

from conf.settings import Settings
from tasks.errors import DigestMismatch, StoreError
from tasks.results import Artifact, Result

R = TypeVar("R", bound=Result)

# What the operating system says when a store cannot take more; EFBIG where a limit of the process is the cause.
CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)


def sha256_of(path: Path) -> str:
    """Sha256 (64 hex digits) of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def private_folder(folder: Path) -> Path:
    """Make the folder, and what is missing above it, for its owner alone; `Path.mkdir` opens the parents to all."""
    if not folder.is_dir():
        private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


class Workspace:
    """What one stage is given: the store to read from, a temporary folder to write to, and the names of both."""

    def __init__(self, store: Store, stage: str, key: str, folder: Path) -> None:
        self.store = store
        self.stage = stage
        self.key = key
        self.folder = folder
        self.before = store.manifest(stage, key)  # of a result that is done anew

    @property
    def scratch(self) -> Path:
        """A folder for work in progress, e.g. checkpoints. Outlives a crash; goes when the stage is done."""
        return self.store.scratch(self.stage, self.key)

    def open(self, artifact: Artifact) -> Path:
        """The verified local file of an artifact of the store."""
        return self.store.open(artifact)

    def open_folder(self, files: tuple[Artifact, ...]) -> Path:
        """The local folder that holds the verified files; see `Store.open_folder`."""
        return self.store.open_folder(files)

    def artifact(self, name: str) -> Artifact:
        """The record of a file that the stage wrote into `folder` under the relative path `name`."""
        file = self.folder / name
        return Artifact(path=f"{self.stage}/{self.key}/{name}", sha256=sha256_of(file), bytes=file.stat().st_size)


class Store:
    """Results by stage and key.

    Args:
        url: an fsspec URL or a local folder.
        cache: a local folder for downloads and work in progress.
    """

    def __init__(self, url: str, cache: Path) -> None:
        self.fs, self.root = fsspec.core.url_to_fs(url)
        self.cache = cache
        self.local = isinstance(self.fs, fsspec.implementations.local.LocalFileSystem)
        self._verified: set[Artifact] = set()

    @classmethod
    def of(cls, settings: Settings) -> Store:
        """The store that the settings name."""
        return cls(settings.store, settings.home / "cache")

    def find(self, stage: str, key: str, kind: type[R], *, rows_may_be_gone: bool = False) -> R | None:
        """The finished result, or None.

        A folder whose files are missing or short, or whose manifest is not of this version, counts as unfinished.
        """
        manifest = self.manifest(stage, key)
        try:
            result = kind.model_validate((manifest or {}).get("result"))
        except ValidationError:
            return None
        if not rows_may_be_gone and not all(self.has(artifact) for artifact in _artifacts_of(result, stage, key)):
            return None
        return result

    def manifest(self, stage: str, key: str) -> dict[str, object] | None:
        """The manifest of a finished stage, or None."""
        path = f"{self.root}/{stage}/{key}/manifest.json"
        try:
            content = json.loads(self.fs.cat_file(path))
        except (FileNotFoundError, ValueError):  # no JSON, or no UTF-8
            return None
        return content if isinstance(content, dict) else None

    def has(self, artifact: Artifact) -> bool:
        """Whether the file is there in its full length; its content is verified by `open`."""
        try:
            return bool(self.fs.size(f"{self.root}/{artifact.path}") == artifact.bytes)
        except FileNotFoundError:
            return False

    def open(self, artifact: Artifact) -> Path:
        """The local path of the file, verified.

        Raises:
            StoreError: the file is gone.
            DigestMismatch: its content is not what its digest says.
        """
        local = self._local(artifact)
        if artifact in self._verified and local.exists():
            return local
        found = sha256_of(local) if local.is_file() else None
        if not self.local and found != artifact.sha256:
            found = self._fetch(artifact)  # never fetched, or a copy of what was made anew since
        if found is None:
            raise StoreError(f"{artifact.path}: gone from the store {self.root}; run again to make it anew")
        if found != artifact.sha256:
            raise DigestMismatch(
                f"{artifact.path}: its content is not what its digest says; delete its folder, run again"
            )
        self._verified.add(artifact)
        return local

    def open_all(self, artifacts: Iterable[Artifact]) -> list[Path]:
        """The local paths of the files, each verified; hashed side by side, as a base is files of some GB.

        Raises:
            StoreError: a file is gone.
            DigestMismatch: the content of one is not what its digest says.
        """
        with ThreadPoolExecutor() as threads:
            return list(threads.map(self.open, artifacts))

    def open_folder(self, artifacts: Iterable[Artifact]) -> Path:
        """The local folder that holds the verified files, e.g. a model; all must lie in one folder."""
        return {file.parent for file in self.open_all(artifacts)}.pop()

    def keys_with(self, stage: str, pattern: str) -> list[str]:
        """The keys of a stage whose folder holds a file of this name (with `*`), finished or not."""
        return sorted({found.rsplit("/", 2)[-2] for found in self.fs.glob(f"{self.root}/{stage}/*/{pattern}")})

    def scratch(self, stage: str, key: str) -> Path:
        """The folder for work in progress of a stage; see `Workspace.scratch`."""
        return private_folder(self.cache / "work" / stage / key)

    @contextlib.contextmanager
    def writing(self, stage: str, key: str) -> Iterator[Workspace]:
        """Give a stage its workspace. Holds a lock, so that two runs never do the same work at once.

        Who had to wait should call `find` before working: the other may have finished.

        Raises:
            StoreError: no space left, or the folder cannot be written.
        """
        try:
            root = self._temporary_root()
            with FileLock(root / f"{stage}-{key}.lock"):
                _sweep(root)
                temporary = root / f"{stage}-{key}"
                shutil.rmtree(temporary, ignore_errors=True)
                temporary.mkdir(mode=0o700)
                try:
                    yield Workspace(self, stage, key, temporary)
                finally:
                    shutil.rmtree(temporary, ignore_errors=True)
        except OSError as error:
            if error.errno in CANNOT_WRITE:
                where = error.filename or self.root
                raise StoreError(
                    f"{where}: {os.strerror(error.errno)}; free space or set TUNEGATE_HOME elsewhere"
                ) from error
            raise

    def commit(self, workspace: Workspace, result: R, evidence: dict[str, object]) -> R:
        """Move the workspace's files to their place, then write the manifest: from here on the stage is done.

        Returns:
            The result that stands: that of another machine where one shares the store and was faster.
        """
        place = f"{self.root}/{workspace.stage}/{workspace.key}"
        if not self.local and self.manifest(workspace.stage, workspace.key) != workspace.before:
            theirs = self.find(workspace.stage, workspace.key, type(result))
            if theirs is not None:  # the lock holds on one machine only
                return theirs
        if self.fs.exists(place):
            self.fs.rm(place, recursive=True)  # files without a manifest, left by a crash
        if self.local:
            private_folder(Path(place).parent)
            workspace.folder.rename(place)
        else:
            for file in sorted(workspace.folder.rglob("*")):
                if file.is_file():
                    self.fs.put_file(str(file), f"{place}/{file.relative_to(workspace.folder).as_posix()}")
        manifest = json.dumps({**evidence, "result": result.model_dump(mode="json")}, indent=1, sort_keys=True)
        if self.local:
            write_atomically(Path(place) / "manifest.json", manifest)
        else:
            self.fs.pipe_file(f"{place}/manifest.json", manifest.encode())
        shutil.rmtree(self.cache / "work" / workspace.stage / workspace.key, ignore_errors=True)
        return result

    def forget(self, artifacts: tuple[Artifact, ...]) -> None:
        """Delete files, raw rows as a rule, and their local copies. Digests and counts stay in the manifest."""
        for artifact in artifacts:
            with contextlib.suppress(FileNotFoundError):
                self.fs.rm_file(f"{self.root}/{artifact.path}")
            self._local(artifact).unlink(missing_ok=True)

    def _local(self, artifact: Artifact) -> Path:
        """Where the file is read: in the store itself, or where its download lies."""
        return Path(self.root) / artifact.path if self.local else self.cache / "downloads" / artifact.path

    def _fetch(self, artifact: Artifact) -> str | None:
        """Copy the file from a remote store; the sha256 of what came, or None where the store has it no more."""
        local = self._local(artifact)
        descriptor, part = tempfile.mkstemp(dir=private_folder(local.parent), prefix=f".{local.name}.")
        os.close(descriptor)
        try:
            self.fs.get_file(f"{self.root}/{artifact.path}", part)
            Path(part).replace(local)
        except FileNotFoundError:
            return None
        finally:
            Path(part).unlink(missing_ok=True)
        return sha256_of(local)

    def _temporary_root(self) -> Path:
        # on the store's own disk, so that the last step is a rename, and all who share the store share the locks
        return private_folder(Path(self.root) / ".tmp" if self.local else self.cache / "tmp")


def _sweep(root: Path) -> None:
    """Remove what killed runs left half-written, raw rows perhaps: the folders whose lock nobody holds."""
    for folder in root.iterdir():
        if folder.is_dir():
            with contextlib.suppress(Timeout), FileLock(f"{folder}.lock", blocking=False):
                shutil.rmtree(folder, ignore_errors=True)


def _artifacts_of(result: Result, stage: str, key: str) -> list[Artifact]:
    """The files that the result itself owns, wherever they stand in it."""
    found: list[Artifact] = []

    def walk(value: object) -> None:
        if isinstance(value, Artifact):
            if value.path.startswith(f"{stage}/{key}/"):
                found.append(value)
        elif isinstance(value, tuple):
            for item in value:
                walk(item)
        elif isinstance(value, BaseModel):
            for name in type(value).model_fields:
                walk(getattr(value, name))

    walk(result)
    return found
