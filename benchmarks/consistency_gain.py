r"""What is data consistency worth if a finished network is corrected, and what on probes of a camera?

    python benchmarks/consistency_gain.py prepared/helen_128 prepared/celebamask_128 \
        rim_128 outputs/rim/checkpoints/last.ckpt

Faces hallucinated from 16 px probes of the validation faces are measured as they are, and corrected so that they are
their probe again when they are reduced (`functional.consistency.consistent_faces`). The gain is in Y-PSNR over bicubic
enlargement, the mean over faces, with a 95 % bootstrap interval of the difference. Probes of cameras are aligned.
"""

import sys
from pathlib import Path

import torch

from rim_lightning.data.dataset import FaceDataset, face_batches
from rim_lightning.data.stores.packed import open_store
from rim_lightning.functional.bootstrap import mean_interval
from rim_lightning.functional.consistency import consistent_faces
from rim_lightning.functional.image_quality import luma, psnr
from rim_lightning.functional.resize import round_to_8bit
from rim_lightning.functional.seeded_probes import ProbeKind, seeded_probes
from rim_lightning.inference.default_model import model_or_shipped
from rim_lightning.inference.model_folder import read_model
from rim_lightning.networks.checkpoints import load_network
from rim_lightning.networks.rim import RIM

SIZE = 16
KINDS = (ProbeKind(), ProbeKind("camera"))
BATCH = 32


def network_of(place):
    """Load a model folder, the model of the package by its name, or a checkpoint of any network."""
    path = model_or_shipped(place)
    return read_model(path).rim if path.is_dir() else load_network(path).eval()


def quality(faces, sharp):
    """Return the Y-PSNR of each face, as rim-eval measures it."""
    return psnr(luma(round_to_8bit(faces)), luma(sharp), 255.0)


@torch.no_grad()
def gains(network, batches, kind):
    """Return the gains over bicubic of the faces as they are and corrected, (2, N) in dB."""
    parts = []
    for batch in batches:
        sizes = torch.full((len(batch.hr),), SIZE)
        enlarged = seeded_probes(batch.hr, SIZE, kind, batch.index.tolist())
        plain = network.fhn(enlarged, sizes).sr if isinstance(network, RIM) else network(enlarged, sizes)
        faces = (plain, consistent_faces(plain, enlarged, sizes), enlarged)
        of_plain, of_corrected, of_bicubic = (quality(each, batch.hr) for each in faces)
        parts.append(torch.stack([of_plain - of_bicubic, of_corrected - of_bicubic]))
    return torch.cat(parts, dim=1)


def main():
    places = sys.argv[1:]
    stores = [open_store(Path(place)) for place in places if (Path(place) / "manifest.json").is_file()]
    batches = [
        batch
        for store in stores
        for batch in face_batches(FaceDataset(store, store.select("val")), BATCH, "cpu", store.path.name)
    ]
    print("| network | probes | gain over bicubic, dB | corrected | difference (95 %) |\n|---|---|---|---|---|")
    for place in places[len(stores) :]:
        network = network_of(place)
        for kind in KINDS:
            plain, corrected = gains(network, batches, kind).double()
            low, high = mean_interval(corrected - plain, torch.Generator().manual_seed(0))
            difference = f"{(corrected - plain).mean():+.3f} ({low:+.3f} … {high:+.3f})"
            print(f"| {place} | {kind.in_words()} | {plain.mean():+.2f} | {corrected.mean():+.2f} | {difference} |")


if __name__ == "__main__":
    main()
