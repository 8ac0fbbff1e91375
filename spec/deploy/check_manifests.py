"""Checks Kubernetes objects against the published schemas.

    check_manifests.py VERSION... < objects.yaml

Every object has to be valid for every version of Kubernetes named, and may have no field that the schema lacks. What is
prometheus-operator's is read with its own model, and has to come out as it went in.
Prints a line for each fault, and ends with status 1 if there is one.
"""

import functools
import sys

import kubernetes_validate
import yaml
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor
from pydantic import ValidationError

# It reads a megabyte of definitions for each object otherwise.
kubernetes_validate.utils.schema_contents = functools.lru_cache(kubernetes_validate.utils.schema_contents)

OPERATOR = {("monitoring.coreos.com/v1", model.__name__): model for model in (PrometheusRule, ServiceMonitor)}


def fault_of_kubernetes(item, version):
    try:
        kubernetes_validate.validate(item, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(str(part) for part in error.path)}: {error.message}"
    except kubernetes_validate.SchemaNotFoundError as error:
        return error.message
    return None


def fault_of_model(item, model):
    """Fields that the model does not have are dropped by it, so a comparison finds them."""
    try:
        known = model.model_validate(item).model_dump(mode="json", by_alias=True, exclude_unset=True)
    except ValidationError as error:
        return str(error).replace("\n", " ")
    return None if known == item else f"has fields that are not in the schema: read as {known}, written as {item}"


def faults(item, versions):
    model = OPERATOR.get((item.get("apiVersion"), item.get("kind")))
    if model:
        yield "prometheus-operator", fault_of_model(item, model)
        return
    for version in versions:
        yield version, fault_of_kubernetes(item, version)


def main(versions):
    items = [item for item in yaml.safe_load_all(sys.stdin) if item is not None]
    if not items:
        print("there is no object to check")
        return 1
    found = 0
    for item in items:
        for version, fault in faults(item, versions):
            if fault:
                found += 1
                print(f"{item['kind']}/{item['metadata']['name']} ({version}): {fault}")
    return 1 if found else 0


sys.exit(main(sys.argv[1:]))
