"""One direction of imports, and a package that is quick to import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "rim_lightning"

# Layer of each wing: a file may import its own wing and those of lower layers. The single files of layer 0 may import
# each other.
LAYERS = {
    "types": 0,
    "schemes": 0,
    "distributed": 0,
    "extras": 0,
    "files": 0,
    "json_files": 0,
    "kept_arrays": 0,
    "locks": 0,
    "plotting": 0,
    "schema": 0,
    "seeds": 0,
    "functional": 1,
    "runs": 1,
    "losses": 2,
    "metrics": 2,
    "networks": 2,
    "data": 2,
    "datamodules": 3,
    "evaluation": 3,
    "inference": 3,
    "training": 4,
    "case": 5,
    "gallery": 5,
    "speed": 5,
    "comparison": 5,
    "commands": 6,
    "__main__": 7,
}
FRAMEWORKS = {"pytorch_lightning", "lightning", "hydra", "omegaconf", "wandb"}
LIGHTNING_FREE = {
    *("types", "schemes", "distributed", "extras", "files", "json_files", "kept_arrays", "locks"),
    *("plotting", "schema", "seeds", "functional"),
    *("losses", "metrics", "networks", "data", "evaluation", "inference", "runs"),
}
STEP = {"phases", "parameters", "finite_watch", "deferred", "objective", "schedule", "probes"}
"""Files of `training/` that compute the step: free of frameworks, and below the modules that use them."""
CONFIGURATION = {"hydra", "omegaconf"}
CONFIGURED = {"commands", "comparison", "speed"}  # and the files of training that read the configuration of a run
CONFIGURED_FILES = {"training/run.py", "training/budget.py", "training/settings.py"}


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "rim_lightning":
            found |= {f"rim_lightning.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return found


def may_import(wing: str, other: str) -> bool:
    if other == "__version__":
        return True
    return other == wing or LAYERS[other] < LAYERS[wing] or LAYERS[other] == LAYERS[wing] == 0


FILES = [file for file in sorted(SOURCE.rglob("*.py")) if file.name != "__init__.py"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_go_down(file):
    part = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    for name in imports(file):
        top = name.split(".")[0]
        if top == "rim_lightning" and "." in name:
            other = name.split(".")[1]
            assert may_import(part, other), f"{part} imports {other}, which does not lie below it"
        assert not (part in LIGHTNING_FREE and top in FRAMEWORKS), f"{part} imports {top}"
        if part == "training" and file.stem in STEP:
            assert top not in FRAMEWORKS, f"{file.name} imports {top}"
            own = name.removeprefix("rim_lightning.training.")
            assert own == name or own in STEP, f"{file.name} imports {name}, which lies above it"
        configured = part in CONFIGURED or str(file.relative_to(SOURCE)) in CONFIGURED_FILES
        assert configured or top not in CONFIGURATION, f"{part} imports {top}"
        assert top != "lightning", "one namespace: pytorch_lightning"


def test_a_wing_imports_itself_and_what_lies_below():
    assert may_import("losses", "losses")
    assert may_import("losses", "functional")
    assert may_import("types", "schemes")
    assert not may_import("losses", "networks")
    assert not may_import("functional", "runs")
    assert not may_import("types", "functional")
    assert not may_import("inference", "training")


def test_imports_of_the_package_itself_are_seen(tmp_path):
    file = tmp_path / "planted.py"
    file.write_text(
        "def f():\n    from rim_lightning import losses, __version__\n    import rim_lightning.data.images\n"
    )
    assert imports(file) == {"rim_lightning.losses", "rim_lightning.__version__", "rim_lightning.data.images"}


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


def test_inference_imports_neither_lightning_nor_hydra():
    training_only = {"pytorch_lightning", "hydra", "omegaconf", "albumentations", "wandb", "torchvision", "pandas"}
    code = "import sys, rim_lightning.inference.recognizer; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "torch" in loaded
    assert not training_only & set(loaded)
