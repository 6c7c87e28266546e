"""One direction of imports, and a package that is quick to import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "rim_lightning"

# Layer of each module or package: it may import lower layers and its own.
LAYERS = {
    "types": 0,
    "distributed": 0,
    "deferred": 0,
    "run_state": 0,
    "plotting": 0,
    "functional": 1,
    "losses": 2,
    "networks": 2,
    "metrics": 2,
    "data": 2,
    "phases": 3,
    "optim": 3,
    "finite_watch": 3,
    "evaluation": 3,
    "report": 3,
    "calibration": 3,
    "checkpoint_io": 4,
    "module": 4,
    "phased_module": 4,
    "hallucination_module": 4,
    "recogniser_module": 4,
    "teacher_module": 4,
    "datamodules": 4,
    "callbacks": 4,
    "config_path": 5,
    "recognizer": 5,
    "model_folder": 5,
    "onnx_export": 5,
    "measure": 5,
    "teacher_training": 5,
    "training": 5,
    "sweeps": 5,
    "benchmark": 5,
    "budget": 5,
    "comparison": 5,
    "face_strip": 5,
    "gallery": 5,
    "embedded_folder": 5,
    "enrolment": 5,
    "embedding_module": 5,
    "page": 5,
    "cli": 6,
    "perf": 6,
    "bench": 6,
    "train": 6,
    "eval": 6,
    "embed": 6,
    "prepare": 6,
    "pack": 6,
}
ENTRY = 5
FRAMEWORKS = {"pytorch_lightning", "lightning", "hydra", "omegaconf", "wandb"}
CONFIGURATION = {"hydra", "omegaconf"}


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return found


FILES = [file for file in sorted(SOURCE.rglob("*.py")) if file.name != "__init__.py"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_go_down(file):
    part = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    layer = LAYERS[part]
    for name in imports(file):
        top = name.split(".")[0]
        if top == "rim_lightning" and "." in name:
            other = name.split(".")[1]
            assert LAYERS[other] <= layer, f"{part} imports {other}, which lies above it"
        assert not (layer < 4 and top in FRAMEWORKS), f"{part} imports {top}"
        assert not (layer < ENTRY and top in CONFIGURATION), f"{part} imports {top}"
        assert top != "lightning", "one namespace: pytorch_lightning"


def test_torch_distributed_has_one_user():
    users = [file.name for file in FILES if any(name.startswith("torch.distributed") for name in imports(file))]
    assert users == ["distributed.py"]


def test_importing_the_package_pulls_in_nothing_heavy():
    heavy = {
        "pytorch_lightning",
        "torchvision",
        "facenet_pytorch",
        "wandb",
        "hydra",
        "albumentations",
        "cv2",
        "matplotlib",
    }
    code = "import sys, rim_lightning; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "rim_lightning" in loaded
    assert not heavy & set(loaded)
