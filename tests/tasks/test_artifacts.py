"""The artifact store: what counts as done, what a crash leaves, and how it says no."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

from conf.settings import PROJECT
from tasks.artifacts import Store, Workspace, sha256_of, write_atomically
from tasks.errors import DigestMismatch, StoreError
from tasks.results import Artifact, Report, Source
from tasks.rows import write_rows
from tests.builders import make_rows, make_split

PAGE = "<p>a page</p>"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "home" / "store"), tmp_path / "home" / "cache")


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[Store]:
    url = f"memory://{uuid.uuid4()}"
    yield Store(url, tmp_path / "home" / "cache")
    if fsspec.filesystem("memory").exists(url):
        fsspec.filesystem("memory").rm(url, recursive=True)


@pytest.fixture(params=["local", "remote"])
def either(request: pytest.FixtureRequest) -> Store:
    """A store in a folder, and one that is reached through fsspec."""
    store: Store = request.getfixturevalue("store" if request.param == "local" else "remote")
    return store


def page(workspace: Workspace, text: str = PAGE) -> Report:
    """What a stage does: write a file, return its record."""
    (workspace.folder / "page.html").write_text(text)
    file = workspace.artifact("page.html")
    return Report(key=workspace.key, page=file, told=file)


def finish(store: Store, key: str = "k", text: str = PAGE) -> Report:
    """A stage from beginning to end."""
    with store.writing("report", key) as workspace:
        result = page(workspace, text)
        store.commit(workspace, result, {"host": "here"})
    return result


def place(store: Store, key: str = "k") -> Path:
    return Path(store.root) / "report" / key


def again(store: Store) -> Store:
    """The same store as another process sees it: nothing verified yet."""
    other = Store(str(store.fs.unstrip_protocol(store.root)), store.cache)
    assert other.root == store.root
    return other


def test_a_finished_stage_is_found_with_its_file_and_its_evidence(either: Store) -> None:
    result = finish(either)
    other = again(either)
    assert other.find("report", "k", Report) == result
    assert other.open(result.page).read_text() == PAGE
    assert other.manifest("report", "k") == {"host": "here", "result": result.model_dump(mode="json")}


def test_what_was_never_done_is_not_found(either: Store) -> None:
    assert either.find("report", "k", Report) is None


def test_a_folder_without_a_manifest_is_not_done(either: Store) -> None:
    finish(either)
    either.fs.rm_file(f"{either.root}/report/k/manifest.json")
    assert either.find("report", "k", Report) is None


@pytest.mark.parametrize("content", [b'{"result": {"key"', b"\xff\xfe\x00", b"[]", b"{}", b'{"result": {"other": 1}}'])
def test_a_manifest_that_cannot_be_read_as_this_result_is_not_done(either: Store, content: bytes) -> None:
    finish(either)
    either.fs.pipe_file(f"{either.root}/report/k/manifest.json", content)
    assert either.find("report", "k", Report) is None


def test_the_manifest_is_written_after_every_other_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def watched(path: Path, text: str) -> None:
        seen.append(sorted(file.name for file in path.parent.iterdir()))
        write_atomically(path, text)

    monkeypatch.setattr("tasks.artifacts.write_atomically", watched)
    finish(store)
    assert seen == [["page.html"]]


def test_a_remote_manifest_is_written_after_every_other_file(remote: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with remote.writing("report", "k") as workspace:
        (workspace.folder / "figures").mkdir()
        (workspace.folder / "figures" / "loss.svg").write_text("<svg/>")
        result = page(workspace)
        put, found = remote.fs.put_file, list[Report | None]()

        def put_and_look(local: str, place: str) -> None:
            put(local, place)
            found.append(remote.find("report", "k", Report))

        monkeypatch.setattr(remote.fs, "put_file", put_and_look)
        remote.commit(workspace, result, {})
    assert found == [None, None]
    assert sorted(remote.fs.find(f"{remote.root}/report/k")) == [
        f"{remote.root}/report/k/{name}" for name in ("figures/loss.svg", "manifest.json", "page.html")
    ]


def test_a_stage_whose_file_is_missing_is_not_done(either: Store) -> None:
    result = finish(either)
    either.fs.rm_file(f"{either.root}/{result.page.path}")
    assert not either.has(result.page)
    assert either.find("report", "k", Report) is None
    assert either.find("report", "k", Report, rows_may_be_gone=True) == result


def test_a_stage_whose_file_is_short_is_not_done(either: Store) -> None:
    result = finish(either)
    either.fs.pipe_file(f"{either.root}/{result.page.path}", PAGE[:-1].encode())
    assert either.find("report", "k", Report) is None


def test_the_files_of_other_stages_do_not_decide_whether_a_stage_is_done(store: Store) -> None:
    mine = finish(store)
    with store.writing("judge", "k") as workspace:
        borrowed = Report(key="k", parents=(mine.digest,), page=mine.page, told=mine.page)
        store.commit(workspace, borrowed, {})
    store.forget((mine.page,))
    assert store.find("judge", "k", Report) == borrowed


def test_artifacts_are_found_wherever_they_stand_in_a_result(store: Store) -> None:
    split = make_split(store, 60)
    Path(store.root, split.validation.rows.path).unlink()
    assert store.find("split", "split", type(split)) is None


def test_a_changed_byte_is_refused_when_the_file_is_opened(either: Store) -> None:
    result = finish(either)
    either.fs.pipe_file(f"{either.root}/{result.page.path}", PAGE.replace("page", "pagE").encode())
    assert either.has(result.page)
    with pytest.raises(DigestMismatch, match=r"^report/k/page\.html: its content is not what its digest says"):
        again(either).open(result.page)


def test_a_file_that_is_gone_is_refused_with_what_to_do(either: Store) -> None:
    result = finish(either)
    either.fs.rm_file(f"{either.root}/{result.page.path}")
    with pytest.raises(StoreError, match=r"gone from the store .*; run again"):
        either.open(result.page)


def test_a_file_of_a_remote_store_is_fetched_once(remote: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    result = finish(remote)
    first = remote.open(result.page)
    monkeypatch.setattr(remote.fs, "get_file", lambda *_: pytest.fail("fetched twice"))
    assert again(remote).open(result.page) == first == remote.cache / "downloads" / result.page.path


def test_a_download_that_is_not_what_the_store_holds_is_fetched_again(remote: Store) -> None:
    result = finish(remote)
    remote.open(result.page).write_text("left by something else")
    assert again(remote).open(result.page).read_text() == PAGE


def test_a_failed_download_leaves_nothing(remote: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    result = finish(remote)

    def breaks(_: str, local: str) -> None:
        Path(local).write_text(PAGE[:3])
        raise ConnectionError("the line is down")

    monkeypatch.setattr(remote.fs, "get_file", breaks)
    with pytest.raises(ConnectionError):
        remote.open(result.page)
    assert [file for file in remote.cache.rglob("*") if file.is_file() and "downloads" in file.parts] == []


def test_a_folder_of_files_is_opened_as_one(either: Store) -> None:
    with either.writing("base", "k") as workspace:
        for name in ("config.json", "model.safetensors"):
            (workspace.folder / name).write_text(name)
        files = (workspace.artifact("config.json"), workspace.artifact("model.safetensors"))
        either.commit(workspace, Report(key="k", page=files[0], told=files[0]), {})
        folder = workspace.open_folder(files)
    assert sorted(file.name for file in folder.iterdir() if file.name != "manifest.json") == [
        "config.json",
        "model.safetensors",
    ]


def test_a_commit_replaces_what_a_crash_left(either: Store) -> None:
    for name in ("page.html", "rest/old.html"):
        either.fs.makedirs(f"{either.root}/report/k/rest", exist_ok=True)
        either.fs.pipe_file(f"{either.root}/report/k/{name}", b"half")
    result = finish(either)
    assert again(either).open(result.page).read_text() == PAGE
    assert not either.fs.exists(f"{either.root}/report/k/rest/old.html")


def test_of_two_machines_that_share_a_store_the_faster_one_decides(remote: Store, tmp_path: Path) -> None:
    elsewhere = Store(remote.fs.unstrip_protocol(remote.root), tmp_path / "other machine")
    with remote.writing("report", "k") as workspace:
        ours = page(workspace, "ours")
        theirs = finish(elsewhere, text="theirs")
        assert remote.commit(workspace, ours, {}) == theirs
    assert again(remote).open(theirs.page).read_text() == "theirs"


def test_what_stood_before_is_replaced_by_what_is_done_anew(either: Store) -> None:
    finish(either, text="old")
    new = finish(either, text="new")
    assert again(either).find("report", "k", Report) == new


def test_the_keys_of_a_stage_are_found_by_a_file(either: Store) -> None:
    finish(either, "a")
    finish(either, "b")
    assert either.keys_with("report", "page*") == ["a", "b"]
    assert either.keys_with("report", "rows-*") == either.keys_with("raw", "*") == []


def test_forgotten_rows_are_gone_and_their_record_stays(either: Store) -> None:
    result = finish(either)
    local = either.open(result.page)
    either.forget((result.page,))
    assert not local.exists()  # the store's own file, or its download
    assert not either.has(result.page)
    assert either.find("report", "k", Report, rows_may_be_gone=True) == result
    with pytest.raises(StoreError, match="gone"):
        either.open(result.page)
    either.forget((result.page,))  # to forget twice is no error


def test_an_error_in_a_stage_leaves_no_files_and_no_result(either: Store) -> None:
    folders: list[Path] = []

    def stage() -> None:
        with either.writing("report", "k") as workspace:
            folders.append(workspace.folder)
            page(workspace)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage()
    assert not folders[0].exists()
    assert either.find("report", "k", Report) is None
    assert not either.fs.exists(f"{either.root}/report")


def test_scratch_outlives_an_error_and_goes_when_the_stage_is_done(store: Store) -> None:
    def broken_stage() -> None:
        with store.writing("report", "k") as workspace:
            (workspace.scratch / "checkpoint").write_text("step 10")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken_stage()
    with store.writing("report", "k") as workspace:
        assert (workspace.scratch / "checkpoint").read_text() == "step 10"
        other = store.scratch("report", "other")
        store.commit(workspace, page(workspace), {})
    assert not (store.cache / "work" / "report" / "k").exists()
    assert other.is_dir()


@pytest.mark.parametrize("later", ["k", "another-key"])
def test_what_a_killed_run_left_half_written_goes_with_the_next_stage(either: Store, later: str) -> None:
    killed = _in_a_process("die_while_writing", _url(either), str(either.cache))
    assert killed.returncode == 9, killed.stderr
    assert _half_written(either) == ["rows.parquet"]
    finish(either, later)
    assert _half_written(either) == []


def die_while_writing(root: str, cache: str) -> None:
    """In a process of its own: a stage that ends as by kill -9, so that nothing is cleaned up."""
    with Store(root, Path(cache)).writing("report", "k") as workspace:
        (workspace.folder / "rows.parquet").write_text("a raw row")
        os._exit(9)


def _in_a_process(function: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; from tests.tasks import test_artifacts; test_artifacts.{function}(*sys.argv[1:])"
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=PROJECT, capture_output=True, text=True)


def test_the_files_of_a_stage_that_runs_are_not_taken_for_left_over(store: Store) -> None:
    with store.writing("report", "outer") as outer:
        result = page(outer)
        finish(store, "inner")
        assert (outer.folder / "page.html").exists()
        store.commit(outer, result, {})
    assert store.find("report", "outer", Report) == result


def _url(store: Store) -> str:
    return str(store.fs.unstrip_protocol(store.root))


def _half_written(store: Store) -> list[str]:
    root = Path(store.root) / ".tmp" if store.local else store.cache / "tmp"
    return [file.name for folder in root.iterdir() if folder.is_dir() for file in folder.iterdir()]


def test_two_writers_of_one_stage_take_turns_and_the_second_finds_the_result(store: Store, tmp_path: Path) -> None:
    # another home, so that nothing but the store itself can hold them apart
    second = Store(store.root, tmp_path / "other-home" / "cache")
    entered, found = threading.Event(), list[Report | None]()

    def wait_and_look() -> None:
        with second.writing("report", "k"):
            entered.set()
            found.append(second.find("report", "k", Report))

    with store.writing("report", "k") as workspace:
        waiting = threading.Thread(target=wait_and_look)
        waiting.start()
        assert not entered.wait(0.5)
        result = page(workspace)
        store.commit(workspace, result, {})
        assert not entered.is_set()
    waiting.join(timeout=30)
    assert found == [result]


def test_writers_of_different_stages_do_not_wait_for_each_other(store: Store) -> None:
    with store.writing("report", "one"):
        other = threading.Thread(target=finish, args=(store, "two"))
        other.start()
        other.join(timeout=30)
        assert store.find("report", "two", Report) is not None


def test_folders_of_the_store_are_closed_to_others(store: Store) -> None:
    before = os.umask(0o022)
    try:
        with store.writing("ingest", "k") as workspace:
            assert _mode(workspace.folder) == 0o700
            (workspace.scratch / "rows").write_text("a raw row")
            assert _mode(workspace.scratch) == 0o700
            store.commit(workspace, page(workspace), {})
    finally:
        os.umask(before)
    folders = [Path(store.root), *(path for path in Path(store.root).rglob("*") if path.is_dir())]
    assert len(folders) == 4  # store, .tmp, ingest, ingest/k
    assert {_mode(folder) for folder in (*folders, store.cache, store.cache / "work")} == {0o700}


def test_downloads_of_a_remote_store_are_closed_to_others(remote: Store) -> None:
    local = remote.open(finish(remote).page)
    assert {_mode(folder) for folder in local.parents if folder.is_relative_to(remote.cache)} == {0o700}


def test_a_folder_that_others_share_keeps_its_mode(tmp_path: Path) -> None:
    shared = tmp_path / "store"
    shared.mkdir()
    shared.chmod(0o770)
    finish(Store(str(shared), tmp_path / "cache"))
    assert _mode(shared) == 0o770


def _mode(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB. Only root may mount one; the next test needs no such right."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root may mount a small disk; a limit on the size of files is tested instead")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True)
    if done.returncode != 0:
        pytest.skip("this machine lets nobody mount a disk; a limit on the size of files is tested instead")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_one_clear_error_and_leaves_nothing_half_written(small_disk: Path, tmp_path: Path) -> None:
    store = Store(str(small_disk / "store"), tmp_path / "cache")
    finished = finish(store, "before")
    with (
        pytest.raises(StoreError, match=r"No space left on device; free space or set TUNEGATE_HOME"),
        store.writing("report", "k") as workspace,
    ):
        store.commit(workspace, page(workspace, "x" * 300_000), {})
    assert store.find("report", "k", Report) is None
    assert not place(store).exists()
    assert not workspace.folder.exists()
    assert store.open(finished.page).read_text() == PAGE


def test_a_disk_that_is_full_when_the_manifest_is_written_leaves_the_stage_undone(
    small_disk: Path, tmp_path: Path
) -> None:
    store = Store(str(small_disk / "store"), tmp_path / "cache")

    def stage() -> None:
        with store.writing("report", "k") as workspace:
            result = page(workspace)
            (small_disk / "filler").write_bytes(b"x" * _free(small_disk))
            store.commit(workspace, result, {})

    with pytest.raises(StoreError, match="No space left"):
        stage()
    assert place(store).is_dir()  # the files came, the manifest did not
    assert store.find("report", "k", Report) is None
    (small_disk / "filler").unlink()
    result = finish(store)
    assert store.find("report", "k", Report) == result


def _free(disk: Path) -> int:
    state = os.statvfs(disk)
    return state.f_bavail * state.f_frsize


LIMITED: dict[str, Callable[[Workspace], object]] = {
    "a text": lambda workspace: page(workspace, "x" * 50_000),
    "rows": lambda workspace: write_rows(workspace, make_rows(3000)),
}


@pytest.mark.parametrize("what", LIMITED)
def test_a_limit_on_the_size_of_files_is_one_clear_error(tmp_path: Path, what: str) -> None:
    done = _in_a_process("write_under_a_limit", str(tmp_path), what)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("File too large; free space or set TUNEGATE_HOME elsewhere")
    assert len(done.stdout.strip().splitlines()) == 1
    assert _half_written(Store(str(tmp_path / "store"), tmp_path / "cache")) == []


def write_under_a_limit(folder: str, what: str) -> None:
    """In a process of its own: print the error of a stage that writes more than 20 kB into one file."""
    store = Store(f"{folder}/store", Path(folder) / "cache")
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    try:
        with store.writing("report", "k") as workspace:
            LIMITED[what](workspace)
    except StoreError as error:
        sys.stdout.write(f"{error}\n")


def test_an_error_that_is_not_about_writing_stays_what_it_is(store: Store) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"), store.writing("report", "k"):
        Path("nowhere").read_text()


def test_an_atomic_write_replaces_the_whole_text_and_leaves_no_other_file(tmp_path: Path) -> None:
    file = tmp_path / "new" / "manifest.json"
    write_atomically(file, "first, and longer")
    write_atomically(file, "second")
    assert file.read_text() == "second"
    assert list(file.parent.iterdir()) == [file]


def test_a_failed_atomic_write_leaves_the_old_text(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    write_atomically(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(file, "new \ud800")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_digest_is_the_sha256_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # the example of FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_digest_of_a_result_covers_its_content_and_its_parents() -> None:
    artifact = Artifact(path="report/k/page.html", sha256="0" * 64, bytes=1)
    result = Report(key="k", page=artifact, told=artifact)
    others = [
        result.model_copy(update={"key": "l"}),
        result.model_copy(update={"parents": ("1" * 64,)}),
        result.model_copy(update={"page": artifact.model_copy(update={"sha256": "1" * 64})}),
    ]
    assert len({one.digest for one in (result, *others)}) == 4
    assert result.digest == Report.model_validate(result.model_dump(mode="json")).digest
    with pytest.raises(ValueError, match="frozen"):
        Source(path="p", sha256="0", rows=1).rows = 2  # type: ignore[misc]
