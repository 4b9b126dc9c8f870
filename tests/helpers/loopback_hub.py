"""A small Hub on the loopback interface: as much as a push needs, kept in memory, with faults on request."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".parquet", ".png")


class LoopbackHub:
    """Use as a context manager; ``endpoint`` is what clients take.

    token:        writes and whoami need this one.
    role:         what whoami says the token may do.
    read_only:    repositories that exist and belong to somebody else.
    fail_uploads: so many uploads and commits get 503.
    faults:       part of a request's line to what becomes of the requests in which it stands, one after the other: a
                  status; "page" (503 with words for people); "drop" (the connection closes before anything is done);
                  "lost" (what was asked is done, and the connection closes instead of the answer).
    """

    def __init__(self, token="hf_loopback", role="write", read_only=(), fail_uploads=0, faults=None):
        self.token, self.role, self.fail_uploads = token, role, fail_uploads
        self.faults: dict[str, list] = {part: list(found) for part, found in (faults or {}).items()}
        self.read_only = set(read_only)
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {name: {"main": {}} for name in read_only}
        self.private: dict[str, bool] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.committed: list[list[str]] = []  # the files of each commit
        self.lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            def hub(self):
                return hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def take_fault(self, line):
        with self.lock:
            return next((found.pop(0) for part, found in self.faults.items() if part in line and found), None)

    def take_failure(self):
        with self.lock:
            failing = self.fail_uploads > 0
            self.fail_uploads -= failing
        return failing


class RefusalError(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def hub(self) -> LoopbackHub:
        raise NotImplementedError

    def answer(self, status, data, headers=()):
        if self.fault == "lost":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status, why, code=None):
        self.answer(status, {"error": why}, {"X-Error-Message": why, **({"X-Error-Code": code} if code else {})})
        raise RefusalError

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def need_token(self):
        given = self.headers.get("Authorization")
        if given != f"Bearer {self.hub().token}":
            # A careless server: what it was given stands in its answer.
            self.refuse(401, f"Invalid credentials: {given}")

    def need_right(self, repo):
        self.need_token()
        if repo in self.hub().read_only:
            self.refuse(403, f"You may not write to {repo}")
        if repo not in self.hub().repos:
            self.refuse(404, "Repository not found", "RepoNotFound")

    def handle_request(self):
        hub, parts = self.hub(), [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        hub.requests.append(f"{self.command} {self.path}")
        data, self.fault = self.body(), hub.take_fault(hub.requests[-1])
        try:
            match self.fault:
                case "drop":
                    self.close_connection = True
                    return self.connection.shutdown(socket.SHUT_RDWR)
                case "page":
                    return self.answer(503, b"<html>We will be back soon.</html>")
                case int() as status:
                    self.answer(status, {"error": "not now"}, {"X-Error-Message": "not now", "Retry-After": "0"})
                    return None
            match (self.command, *parts):
                case ("GET", "api", "whoami-v2"):
                    self.need_token()
                    self.answer(200, {"name": "ada", "type": "user", "auth": {"accessToken": {"role": hub.role}}})
                case ("POST", "api", "repos", "create"):
                    self.create(json.loads(data))
                case ("GET", "api", "models", owner, name) | ("GET", "api", "models", owner, name, "revision", _):
                    if f"{owner}/{name}" not in hub.repos:
                        self.refuse(404, "Repository not found", "RepoNotFound")
                    self.answer(200, {"id": f"{owner}/{name}", "sha": "0" * 40, "siblings": [], "tags": []})
                case ("GET", "api", "models", owner, name, "auth-check", "write"):
                    self.need_right(f"{owner}/{name}")
                    self.answer(200, {})
                case ("POST", "api", "models", owner, name, "branch", branch):
                    self.need_right(f"{owner}/{name}")
                    hub.repos[f"{owner}/{name}"].setdefault(branch, {})
                    self.answer(200, {})
                case ("POST", "api", "validate-yaml"):
                    self.answer(200, {"errors": [], "warnings": []})
                case ("POST", "api", "models", owner, name, "preupload", revision):
                    self.need_right(f"{owner}/{name}")
                    self.preupload(json.loads(data), hub.repos[f"{owner}/{name}"].get(revision))
                case ("POST", owner, name, "info", "lfs", "objects", "batch"):
                    self.need_right(f"{owner}/{name.removesuffix('.git')}")
                    self.batch(json.loads(data))
                case ("PUT", "_blob", oid):
                    if hub.take_failure():
                        self.refuse(503, "not now")
                    assert hashlib.sha256(data).hexdigest() == oid
                    hub.blobs[oid] = data
                    self.answer(200, {})
                case ("POST", "api", "models", owner, name, "commit", revision):
                    self.need_right(f"{owner}/{name}")
                    if hub.take_failure():
                        self.refuse(503, "not now")
                    self.commit(data, hub.repos[f"{owner}/{name}"][revision], f"{owner}/{name}")
                case _:
                    self.refuse(404, f"No route {self.command} {self.path}")
        except RefusalError:
            pass

    do_GET = do_POST = do_PUT = do_HEAD = handle_request  # noqa: N815

    def create(self, asked):
        self.need_token()
        hub = self.hub()
        repo = f"{asked.get('organization') or 'ada'}/{asked['name']}"
        if repo in hub.repos:
            self.refuse(409, "You already created this model repo")
        if not repo.startswith("ada/"):
            self.refuse(403, f"You may not create repositories for {repo.split('/')[0]}")
        hub.repos[repo] = {"main": {}}
        hub.private[repo] = asked.get("visibility") == "private" or asked.get("private") is True
        self.answer(200, {"url": f"{hub.endpoint}/{repo}", "name": repo})

    def preupload(self, asked, files):
        if files is None:
            self.refuse(404, "Revision not found", "RevisionNotFound")
        paths = [file["path"] for file in asked["files"]]
        found = [{"path": path, "uploadMode": "lfs" if path.endswith(LARGE) else "regular"} for path in paths]
        # As the Hub does, it says of a file that is there what it holds: SHA-256 of a large one, git's mark of another.
        there = {path: files[path] for path in paths if path in files}
        oids = {
            path: hashlib.sha256(data) if path.endswith(LARGE) else hashlib.sha1(b"blob %d\0" % len(data) + data)
            for path, data in there.items()
        }
        known = [
            {**file, **({"oid": oids[file["path"]].hexdigest()} if file["path"] in oids else {})} for file in found
        ]
        self.answer(200, {"files": [{**file, "shouldIgnore": False} for file in known]})

    def batch(self, asked):
        hub = self.hub()
        objects = []
        for item in asked["objects"]:
            upload = {"actions": {"upload": {"href": f"{hub.endpoint}/_blob/{item['oid']}", "header": {}}}}
            objects.append({**item, **({} if item["oid"] in hub.blobs else upload)})
        self.answer(200, {"transfer": "basic", "objects": objects})

    def commit(self, data, files, repo):
        entries = [json.loads(line) for line in data.splitlines()]
        self.hub().committed.append([one["value"]["path"] for one in entries if one["key"] in ("file", "lfsFile")])
        for entry in entries:
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub().blobs[value["oid"]]
        self.answer(
            200,
            {"success": True, "commitOid": f"{1:040d}", "commitUrl": f"{self.hub().endpoint}/{repo}/commit/{1:040d}"},
        )
