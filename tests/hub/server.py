"""A hub on loopback: the part of the Hugging Face hub's HTTP interface that its own libraries use to load and upload.

A repository is a folder `<models or datasets>/<organisation>/<name>` with one commit, whose sha is a digest of its
files. Point HF_ENDPOINT at `Hub.url`, and the genuine loading code of transformers and datasets runs against it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

API = re.compile(
    r"/api/(?P<kind>models|datasets)/(?P<repo>[^/]+/[^/]+)(/(?P<verb>revision|tree|paths-info|refs|preupload|commit)(/(?P<rest>.*))?)?$"
)
RESOLVE = re.compile(r"/(?P<datasets>datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<rest>.+)$")


class Refused(Exception):
    """Answered with this status, and the hub's word for the error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass
class Hub:
    """What the server serves and how badly it behaves: `gated` repositories are answered with 401, a file in `cut`
    breaks off after so many bytes as often as said, and every answer waits for `delay` seconds. `pinned` gives a
    repository the commit by which a task of ours knows it."""

    folder: Path
    gated: set[str] = field(default_factory=set)
    cut: dict[str, list[int]] = field(default_factory=dict)
    pinned: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    requests: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    url: str = ""

    def path(self, kind: str, repo: str) -> Path:
        return self.folder / kind / repo

    def sha(self, kind: str, repo: str) -> str:
        """The repository's commit: forty hexadecimal digits."""
        if repo in self.pinned:
            return self.pinned[repo]
        digest = hashlib.sha1()
        root = self.path(kind, repo)
        for path in self.files(root):
            digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
        return digest.hexdigest()

    @staticmethod
    def files(root: Path) -> list[Path]:
        return sorted(path for path in root.rglob("*") if path.is_file())

    def find(self, kind: str, repo: str, revision: str = "main") -> tuple[Path, str]:
        """The repository's folder and commit. The branch of converted data is the same as main here."""
        root = self.path(kind, repo)
        if not root.is_dir():
            raise Refused(401, "RepoNotFound", "Repository not found")
        sha = self.sha(kind, repo)
        if revision not in ("main", "refs/convert/parquet", sha):
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return root, sha

    @contextmanager
    def serve(self, port: int = 0) -> Iterator[Hub]:
        server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(self.hub.delay)
        path = unquote(urlsplit(self.path).path)
        try:
            if path == "/api/repos/create":
                self.create(json.loads(body))
            elif path == "/api/validate-yaml":
                self.send(200, {"errors": [], "warnings": []})
            elif found := API.match(path):
                self.api(found["kind"], found["repo"], found["verb"], found["rest"] or "", body)
            elif found := RESOLVE.match(path):
                self.resolve("datasets" if found["datasets"] else "models", found["repo"], found["rest"])
            else:
                raise Refused(404, "", "no such page")
        except Refused as refused:
            self.send(refused.status, {"error": str(refused)}, {"X-Error-Code": refused.code})

    def create(self, asked: dict[str, Any]) -> None:
        repo = f"{asked['organization']}/{asked['name']}"
        kind = "datasets" if asked.get("type") == "dataset" else "models"
        if repo in self.hub.gated:
            raise Refused(403, "", "You don't have the rights to create a model under this namespace")
        url = f"{self.hub.url}/{'datasets/' if kind == 'datasets' else ''}{repo}"
        if self.hub.path(kind, repo).is_dir():
            return self.send(409, {"error": "You already created this repo", "url": url})
        self.hub.path(kind, repo).mkdir(parents=True)
        self.send(200, {"url": url})

    def upload(self, kind: str, repo: str, verb: str, body: bytes) -> None:
        """No file is too large to come with the commit."""
        root, _ = self.hub.find(kind, repo)
        if verb == "preupload":
            names = [file["path"] for file in json.loads(body)["files"]]
            files = [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]
            return self.send(200, {"files": files})
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                path = root / line["value"]["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(base64.b64decode(line["value"]["content"]))
        sha = self.hub.sha(kind, repo)
        self.send(200, {"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{repo}/commit/{sha}"})

    def api(self, kind: str, repo: str, verb: str | None, rest: str, body: bytes) -> None:
        if verb in ("preupload", "commit"):
            return self.upload(kind, repo, verb, body)
        if verb in ("tree", "paths-info"):
            revision, inside = _revision_and_path(rest)
        else:
            revision, inside = rest or "main", ""
        root, sha = self.hub.find(kind, repo, revision)
        if verb == "refs":
            branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": sha}
            return self.send(200, {"branches": [branch], "tags": [], "converts": []})
        entries = _entries(root)
        if verb == "tree":
            query = parse_qs(urlsplit(self.path).query)
            deep = query.get("recursive", [""])[0].lower() == "true"
            within = [e for e in entries if not inside or e["path"].startswith(inside + "/")]
            if inside and not within:
                raise Refused(404, "EntryNotFound", f"{inside} does not exist")
            depth = inside.count("/") + 1 if inside else 0
            return self.send(200, [e for e in within if deep or e["path"].count("/") == depth])
        if verb == "paths-info":
            asked = json.loads(body)["paths"] if body[:1] == b"{" else parse_qs(body.decode())["paths"]
            return self.send(200, [entry for entry in entries if entry["path"] in asked])
        siblings = [{"rfilename": e["path"]} for e in entries if e["type"] == "file"]
        gated = "manual" if repo in self.hub.gated else False
        self.send(200, {"_id": sha[:24], "id": repo, "sha": sha, "private": False, "gated": gated,
                        "disabled": False, "downloads": 0, "likes": 0, "tags": [],
                        "siblings": siblings})  # fmt: skip

    def resolve(self, kind: str, repo: str, rest: str) -> None:
        revision, inside = _revision_and_path(rest)
        root, sha = self.hub.find(kind, repo, revision)
        if repo in self.hub.gated:
            raise Refused(401, "GatedRepo", f"Access to {repo} is restricted")
        file = root / inside
        if not file.is_file():
            raise Refused(404, "EntryNotFound", f"{inside} does not exist")
        data = file.read_bytes()
        headers = {"ETag": f'"{_blob(data)}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        status, start, end = 200, 0, len(data) - 1
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            self.hub.ranges.append(f"{inside} {asked[0]}")
            start, end = int(asked[1]), min(int(asked[2] or end), end)
            if start > end:
                raise Refused(416, "", "no such range")
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
        part = data[start : end + 1]
        cuts = self.hub.cut.get(inside, [])
        stop = cuts.pop(0) if cuts and self.command == "GET" else None
        self.send(status, part, headers, stop)

    def send(self, status: int, content: Any, headers: dict[str, str] | None = None, stop: int | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/octet-stream" if data is content else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:stop])
        if stop is not None:
            self.close_connection = True


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    return type("Handler", (_Handler,), {"hub": hub})


def _revision_and_path(rest: str) -> tuple[str, str]:
    if rest.startswith("refs/"):
        parts = rest.split("/", 3)
        return "/".join(parts[:3]), parts[3] if len(parts) > 3 else ""
    revision, _, inside = rest.partition("/")
    return revision, inside


def _entries(root: Path) -> list[dict[str, Any]]:
    """Files and folders as the hub's listing of a tree has them."""
    found: list[dict[str, Any]] = []
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            found.append({"type": "directory", "oid": hashlib.sha1(name.encode()).hexdigest(), "size": 0, "path": name})
        else:
            data = path.read_bytes()
            found.append({"type": "file", "oid": _blob(data), "size": len(data), "path": name})
    return found


def _blob(data: bytes) -> str:
    """Git's name for a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
