"""All speed benchmarks one after another: `python -m benchmarks`.

Each script states its claims in its docstring and writes its measurements as JSON.
"""

import subprocess
import sys

SCRIPTS = ("attention_map", "kernel", "questions", "watch")

for script in SCRIPTS:
    print(f"\n== {script} ==", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{script}", *sys.argv[1:]], check=True)
