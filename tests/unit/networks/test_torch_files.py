"""A file of torch.save takes no more memory than it has bytes, whatever it claims."""

import io
import pickle
import zipfile

import pytest
import torch

from rim_lightning.networks.torch_files import load_torch_file


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def saved(request, tmp_path):
    """A file of a small tensor in both formats, and its bytes."""
    file = tmp_path / "net.pt"
    content = {"weight": torch.arange(1000.0), "half": torch.ones(3, dtype=torch.bfloat16), "count": 3}
    torch.save(content, file, _use_new_zipfile_serialization=request.param)
    return file


def test_what_was_saved_is_read(saved):
    content = load_torch_file(saved)
    assert torch.equal(content["weight"], torch.arange(1000.0))
    assert content["half"].dtype == torch.bfloat16
    assert content["count"] == 3


def test_a_storage_that_claims_more_than_the_file_has_is_refused(saved):
    few, many = (b"M" + (1000).to_bytes(2, "little"), b"J" + (2**31 - 1).to_bytes(4, "little"))  # BININT2, BININT
    if zipfile.is_zipfile(saved):
        with zipfile.ZipFile(saved) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(saved, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, part.replace(few, many) if name.endswith("data.pkl") else part)
    else:
        saved.write_bytes(saved.read_bytes().replace(few, many))
    with pytest.raises(ValueError, match=r"claim.* 8,589,934,5\d\d bytes that are not there"):
        load_torch_file(saved)


def test_a_compressed_part_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(10**6)}, tmp_path / "net.pt")
    with zipfile.ZipFile(tmp_path / "net.pt") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "net.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    with pytest.raises(ValueError, match="a part is compressed"):
        load_torch_file(tmp_path / "net.pt")


def test_a_tensor_that_repeats_its_numbers_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(1).expand(10**9)}, tmp_path / "net.pt")
    with pytest.raises(ValueError, match=r"a tensor of shape \(1000000000,\) has 1 numbers"):
        load_torch_file(tmp_path / "net.pt")


@pytest.mark.parametrize("name", ["bytearray", "torch.FloatTensor", "os.system"])
def test_nothing_is_called(tmp_path, name):
    module, _, function = f"builtins.{name}".rpartition(".")
    module = module.removeprefix("builtins.") if "." in module else module
    torch.save({}, tmp_path / "net.pt")
    with zipfile.ZipFile(tmp_path / "net.pt") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    pickled = b"\x80\x02c" + f"{module}\n{function}\n".encode() + b"J\xff\xff\xff\x7f\x85R."
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, pickled if part.endswith("data.pkl") else content)
    with pytest.raises(ValueError, match=f"it names .*{function}, which is no tensor"):
        load_torch_file(tmp_path / "net.pt")


def test_containers_that_name_one_another_end_in_a_sentence(tmp_path):
    content = {}
    for _ in range(40):
        content = {"one": content, "other": content}  # 2^40 paths through 40 containers
    torch.save(content, tmp_path / "net.pt")
    with pytest.raises(ValueError, match="it holds too many entries"):
        load_torch_file(tmp_path / "net.pt")


def test_bytes_of_any_kind_end_in_a_sentence(tmp_path):
    generator = torch.Generator().manual_seed(0)
    contents = [torch.randint(256, (64,), generator=generator, dtype=torch.uint8).numpy().tobytes() for _ in range(50)]
    stream = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, stream)
    contents += [stream.getvalue()[:cut] for cut in range(0, len(stream.getvalue()), 97)] + [pickle.dumps([1])]
    for content in contents:
        (tmp_path / "net.pt").write_bytes(content)
        with pytest.raises(ValueError, match=r"\w"):
            load_torch_file(tmp_path / "net.pt")
