"""Every speed claim in turn: `python -m benchmarks`; each script says what it claims and keeps a JSON."""

import subprocess
import sys

SCRIPTS = ("attention_map", "kernel", "watch")

for script in SCRIPTS:
    print(f"\n== {script} ==", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{script}", *sys.argv[1:]], check=True)
