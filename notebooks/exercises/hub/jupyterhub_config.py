"""JupyterHub for one class on one machine; ../TEACHERS.md says how to set it up.

Users are the machine's accounts in the group `nomination`: students, and the teacher.
"""

import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent

c = get_config()  # noqa: F821 (JupyterHub runs this file with it)

c.JupyterHub.bind_url = "http://127.0.0.1:8000"  # HTTPS is for a web server in front
c.LocalAuthenticator.allowed_groups = {"nomination"}
c.ConfigurableHTTPProxy.command = [
    str(Path(sysconfig.get_path("scripts")) / "configurable-http-proxy")
]
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.default_url = "/lab"
c.Spawner.environment = {  # this folder also has the settings of Jupyter and of nbgrader
    "JUPYTER_CONFIG_PATH": str(HERE),
    "OMP_WAIT_POLICY": "PASSIVE",
}
