"""Where MLflow is, and what its absence costs."""

import dataclasses
import datetime
import errno
import fcntl
import ipaddress
import json
import os
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import sysconfig
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import Mock

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mlflow import MlflowClient

from sagan.errors import UserError
from sagan.store.paths import Paths
from sagan.tracking import TrackingUnavailable, serve
from sagan.tracking.connection import store
from tests import sagan, wait_for
from tests.tracking.conftest import PARAMS, free_port

# Parameters that say nothing, for a program.
EMPTY = "Params(repro=[], **dict.fromkeys(('datasets', 'variants', 'suites', 'grids', 'said', 'rows'), {}))"


@pytest.fixture
def answering(monkeypatch):
    """Starts a server on loopback that does `answer(handler)` at each request, and names it to MLflow."""
    started = []

    def start(answer, context: ssl.SSLContext | None = None) -> None:
        methods = {"do_GET": answer, "do_POST": answer, "log_message": lambda *_: None}
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (BaseHTTPRequestHandler,), methods))
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started.append(server)
        uri = f"http{'s' if context else ''}://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def status(code: int, body: str = "<html>no</html>", **headers: str):
    """What answers every request with this."""

    def answer(handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body.encode())

    return answer


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_server_that_is_down_is_one_line_within_seconds(workspace, monkeypatch, scheme):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://user:secret@127.0.0.1:{free_port()}")
    workspace.finish(workspace.cells[0])
    start = time.monotonic()
    with pytest.raises(TrackingUnavailable) as caught:
        workspace.send()
    assert time.monotonic() - start < 10  # MLflow's own patience is minutes
    message = str(caught.value)
    assert "python -m sagan track" in message and "\n" not in message and "secret" not in message


@pytest.mark.parametrize("code", [401, 404, 429, 502])
def test_an_outage_is_a_warning_and_a_refusal_an_error_with_the_whole_reason(workspace, answering, monkeypatch, code):
    reason = {"error_code": "PERMISSION_DENIED", "message": f"{'very ' * 100}closed, {code}"}
    answering(status(code, json.dumps(reason), Retry_After="3600"))
    workspace.finish(workspace.cells[0])
    plan = workspace.paths.root / "plan.json"
    workspace.plan.save(plan)
    done = sagan("track", "--plan", plan, folder=workspace.paths.root)
    (line,) = done.stderr.splitlines()
    is_outage = code in (429, 502)
    kind, told = ("warning: ", "cannot be reached") if is_outage else ("", "refuses: ")
    assert done.returncode == (0 if is_outage else 2) and line.startswith(f"sagan: {kind}MLflow at http://"), (
        done.stderr
    )
    assert told in line and str(code) in line and (is_outage or "very closed" in line)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert workspace.send().sent == [workspace.cells[0].run]


def test_a_self_signed_certificate_is_named_with_what_to_do(workspace, answering, monkeypatch, tmp_path):
    file, key = tmp_path / "server.pem", ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tracking.example")])
    now, address = datetime.datetime.now(datetime.UTC), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([address]), critical=False).sign(key, hashes.SHA256())
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem = serialization.Encoding.PEM
    file.write_bytes(key.private_bytes(pem, *plain) + made.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    answering(status(502), context)
    told = r"^MLflow at https.* refuses: .*self-signed certificate.*MLFLOW_TRACKING_SERVER_CERT_PATH"
    with pytest.raises(UserError, match=told) as caught:
        workspace.send()
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(file))
    with pytest.raises(TrackingUnavailable, match="502"):
        workspace.send()


def drip(handler) -> None:
    """A byte now and then never is a time-out of a read."""
    status(200, Content_Length="999")(handler)
    while True:
        handler.wfile.write(b" ")
        time.sleep(0.2)


@pytest.mark.parametrize("answer", [lambda handler: time.sleep(20), drip], ids=["silent", "dripping"])
def test_a_server_that_does_not_end_its_answer_is_given_up(workspace, answering, monkeypatch, answer):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    answering(answer)
    start = time.monotonic()
    with pytest.raises(TrackingUnavailable):
        workspace.send()
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("told", ["0.5", "soon", "0"])
def test_a_time_out_that_is_no_number_of_seconds_is_one_line(workspace, answering, monkeypatch, told):
    answering(status(503))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", told)
    with pytest.raises(UserError, match=f"^MLFLOW_HTTP_REQUEST_TIMEOUT={told}: must be a whole number"):
        workspace.send()


STATEMENTS = {
    "BEGIN EXCLUSIVE": "cannot be reached .*database is locked",
    "UPDATE alembic_version SET version_num = 'f'": "refuses: .*out-of-date",
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_database_that_another_process_writes_is_an_outage_one_of_another_mlflow_a_refusal(workspace, statement):
    with closing(sqlite3.connect(workspace.paths.root / "state/mlflow/mlflow.db", isolation_level=None)) as database:
        database.execute(statement)
        with pytest.raises(UserError, match=f"^MLflow at .*mlflow.db {STATEMENTS[statement]}"):
            workspace.send()


@pytest.mark.parametrize("uri", ["file:./mlruns", "tracking.example:5000", "htp://127.0.0.1:1"])
def test_an_address_that_mlflow_cannot_use_is_a_refusal(workspace, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match="refuses: "):
        workspace.send()


def test_the_ui_says_where_the_runs_are_shows_no_address_in_ps_and_leaves_nothing(workspace):
    workspace.finish(workspace.cells[0])
    workspace.send()
    port = free_port()
    command = [sys.executable, "-m", "sagan", "ui", "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    with subprocess.Popen(command, cwd=workspace.paths.root, env=environment, stdout=subprocess.PIPE) as ui:
        said = [ui.stdout.readline().decode() for _ in range(4)]
        identity = workspace.client.get_experiment_by_name("sagan-quick").experiment_id
        page = f"http://127.0.0.1:{port}/#/experiments/{identity}/runs?workflowType=machine_learning"
        assert said[0] == "quick:\n" and f" {page}&orderByKey=metrics.%60fid%60&orderByAsc=true" in said[1], said
        assert f"{page}&compareRunsMode=CHART" in said[2] and "every user of this machine" in said[3]
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        family = psutil.Process(ui.pid).children(recursive=True)
        assert family and not [part for process in family for part in process.cmdline() if "mlflow.db" in part]
        listening = {
            place.laddr.ip for process in family for place in process.net_connections() if place.status == "LISTEN"
        }
        assert listening == {"127.0.0.1"}
        ui.terminate()
        assert ui.wait(30) == 143
    assert not psutil.wait_procs(family, timeout=10)[1]


def test_what_the_ui_cannot_show_is_a_line_before_anything_starts(workspace, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port}: Address already in use; name another .*PORT="):
            serve(workspace.params, workspace.paths, port)
    for uri, told in [("http://me:secret@host:5000", "is a server already"), ("file:./mlruns", "refuses: ")]:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(UserError, match=f"^MLflow at .*{told}") as caught:
            serve(workspace.params, workspace.paths, free_port())
        assert "secret" not in str(caught.value)


def test_mlflow_works_from_a_folder_whose_name_it_cannot_take(workspace, tmp_path):
    """An environment within a clone at `100%(done)s`."""
    packages = tmp_path / "100%(done)s" / "packages"
    packages.parent.mkdir()
    packages.symlink_to(sysconfig.get_paths()["purelib"])
    script = f"""
import sys
sys.path.insert(0, {str(packages)!r})
from pathlib import Path
from sagan.params import Params
from sagan.store.paths import Paths
from sagan.tracking.connection import store
with store({EMPTY}, Paths(Path({str(tmp_path / "50%")!r}))):
    pass
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "50%" / "state/mlflow/mlflow.db").exists()


@pytest.mark.parametrize(
    "act", [lambda w: w.send(), lambda w: serve(w.params, w.paths, free_port())], ids=["track", "ui"]
)
def test_a_damaged_store_is_one_line(workspace, act):
    (workspace.paths.root / "state/mlflow/mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match=r"mlflow\.db refuses: .*move a damaged file away"):
        act(workspace)


def test_a_file_that_cannot_be_read_is_not_laid_to_the_store(workspace, monkeypatch):
    refused = PermissionError(errno.EACCES, "Permission denied", "results/samples.png")
    workspace.finish(workspace.cells[0])
    monkeypatch.setattr(shutil, "copyfile", Mock(side_effect=refused))
    with pytest.raises(PermissionError):
        workspace.send()


@pytest.mark.parametrize("uri", ["sqlite:///", "sqlite+pysqlite:///"])
def test_runs_are_sent_with_any_driver_and_on_file_systems_that_lock_no_files(workspace, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{uri}{workspace.paths.root}/state/mlflow/mlflow.db")
    monkeypatch.setattr(fcntl, "flock", Mock(side_effect=OSError(errno.ENOLCK, "No locks available")))
    workspace.finish(workspace.cells[0])
    assert workspace.send().sent


@pytest.mark.exhaustive
@pytest.mark.parametrize("seconds", [0.4, 0.8, 1.2, 1.6, 2.0, 2.4])
def test_a_process_that_is_killed_as_it_makes_the_store_leaves_none_or_a_sound_one(make, seconds):
    workspace = make(store=False)
    workspace.finish(workspace.cells[0])
    script = f"""
from pathlib import Path
from sagan.params import Params
from sagan.store.paths import Paths
from sagan.tracking.connection import store
print("ready", flush=True)
with store({EMPTY}, Paths(Path({str(workspace.paths.root)!r}))):
    pass
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.readline()
    time.sleep(seconds)
    process.kill()
    process.wait()
    assert workspace.send().sent == [workspace.cells[0].run]


@pytest.mark.parametrize(
    "uri",
    [
        "http://user:sec/ret@127.0.0.1:1",
        "http://user:sec@ret@127.0.0.1:1",
        "postgresql://user:sec@ret@127.0.0.1:1/db",
        "postgresql://127.0.0.1:1/db?user=me&password=sec-ret",
        "http://user:sec ret@127.0.0.1:1",
        "postgresql://user:secret/db",  # without the host, what follows the colon stands where a port does
    ],
)
def test_no_part_of_a_password_is_told(workspace, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    workspace.finish(workspace.cells[0])
    with pytest.raises(UserError) as caught:
        workspace.send()
    assert "sec" not in str(caught.value).replace("seconds", "") and "ret@" not in str(caught.value)


def test_a_password_in_params_yaml_is_refused_and_not_repeated(make):
    with pytest.raises(UserError, match=r"tracking\.uri.*MLFLOW_TRACKING_URI") as caught:
        make(text=PARAMS + "tracking: {uri: 'postgresql://me:secret@db.example/mlflow'}\n")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("move", [False, True])
def test_a_store_that_came_with_its_clone_writes_nothing_into_the_original(workspace, tmp_path, capsys, move):
    workspace.finish(workspace.cells[0])
    workspace.send()
    before = _files(workspace.paths.root)
    other = tmp_path / "other"
    (shutil.move if move else shutil.copytree)(workspace.paths.root, other)
    copy = dataclasses.replace(workspace, paths=Paths(other))
    assert copy.send().sent == [copy.cells[0].run]
    assert "came from another folder" in capsys.readouterr().err
    assert {experiment.name for experiment in copy.client.search_experiments()} >= {"sagan-quick", "sagan-quick-1"}
    run = copy.client.search_runs([copy.client.get_experiment_by_name("sagan-quick").experiment_id])[0]
    assert run.info.artifact_uri.startswith((other / "state/mlflow/artifacts").as_uri())
    assert copy.client.list_artifacts(run.info.run_id)
    if not move:
        assert _files(workspace.paths.root) == before
    assert copy.send().sent == []
    assert "came from" not in capsys.readouterr().err


def test_a_store_that_clones_share_is_left_as_it_is(make, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    first, second = make("first"), make("second")
    first.finish(first.cells[0])
    second.finish(second.cells[0])
    assert first.send().sent and second.send().sent == []
    monkeypatch.setattr("sagan.tracking.connection._LOCK_PATIENCE_S", 0.1)
    with store(first.params, first.paths), pytest.raises(TrackingUnavailable, match="another process has"):
        second.send()
    (experiment,) = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/shared.db").search_experiments(
        filter_string="name LIKE 'sagan-%'"
    )
    assert experiment.artifact_location.startswith(first.paths.root.as_uri())


def _files(root):
    """Of the folder of MLflow's files, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in (root / "state/mlflow/artifacts").rglob("*")}
