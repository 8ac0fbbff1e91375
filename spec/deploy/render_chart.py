"""Renders a Helm chart with Helm's own library, as `helm template` does, and needs no cluster.

    render_chart.py CHART NAME NAMESPACE < values.json     the objects, as one stream of YAML
    render_chart.py --lint CHART NAMESPACE < values.json   `helm lint --strict`

Values that the chart's schema refuses, and what else Helm refuses, end with status 1 and Helm's own words.
"""

import json
import sys

import helm_python as helm


def render(path, name, namespace):
    values = json.load(sys.stdin)
    with helm.Chart.load(path) as chart:
        chart.validate_schema(values)
        files = chart.render(values, name=name, namespace=namespace, is_install=True)
    for template, text in sorted(files.items()):
        if template.endswith(".txt"):
            print("---\n" + "\n".join(f"# {line}" for line in text.splitlines()))
        elif text.strip():
            print(f"---\n# {template}\n{text}")
    return 0


def lint(path, namespace):
    report = helm.chart.lint(path, json.load(sys.stdin), strict=True, namespace=namespace)
    for message in report["messages"]:
        print(f"{message['severity']} {message['path']}: {message['error']}")
    return 1 if report["errors"] or any(message["severity"] > 1 for message in report["messages"]) else 0


try:
    sys.exit(lint(*sys.argv[2:]) if sys.argv[1] == "--lint" else render(*sys.argv[1:]))
except helm.HelmError as error:
    print(error)
    sys.exit(1)
