"""The shape of a synthetic face: the person, the view, the curves of the face and its landmarks.

Lengths are in face units: the eyes of a frontal face lie at (-0.5, 0) and (0.5, 0), y grows downwards and z towards the
camera. The points of each landmark scheme are samples of the curves, so that picture, parsing map and landmarks agree.
"""

from dataclasses import dataclass

import numpy as np

from rim_lightning.data.alignment import template

FaceCurve = np.ndarray
SKIN_COLORS = np.array(
    [(250, 224, 208), (240, 203, 180), (226, 176, 143), (199, 137, 100), (152, 98, 68), (100, 62, 46)], float
)
"""Colors of skin from fair to dark, RGB 0..255."""

HAIR_COLORS = np.array(
    [
        (26, 22, 21),
        (58, 40, 30),
        (92, 60, 38),
        (138, 94, 56),
        (196, 158, 98),
        (224, 196, 142),
        (146, 62, 32),
        (158, 156, 154),
    ],
    float,
)
"""Colors of hair, RGB 0..255. The first two are dark."""

IRIS_COLORS = np.array(
    [(62, 40, 28), (104, 68, 38), (98, 110, 60), (66, 118, 98), (86, 128, 172), (120, 140, 156)], float
)
"""Colors of the iris, RGB 0..255. The first two are dark."""

HAIRSTYLES = ("bald", "buzz", "short", "parted", "fringe", "long", "wavy", "curly")


@dataclass(frozen=True)
class Person:
    """A person: everything that is the same in all pictures of one face.

    Lengths are in face units, colors are (3,) RGB in 0..255.

    Attributes:
        face_width: Half the width of the face at the height of the eyes.
        jaw: Exponent of the jaw line. A small value gives a square jaw.
        chin: y of the chin.
        eye_size: Half the width of an eye.
        eye_open: Height of the eye opening divided by `eye_size`.
        eye_tilt: Slope of the eyes. Positive values raise the outer corners.
        brow_height: Height of the brows above the eyes.
        brow_thickness: Largest thickness of the brows.
        brow_arch: Height of the arch of the brows.
        brow_slope: Slope of the brows. Positive values lower the outer ends.
        brow_gap: |x| of the inner end of a brow.
        nose_length: y of the tip of the nose.
        nose_width: Half the width of the nose at the nostrils.
        nose_bridge: Half the width of the bridge of the nose.
        nose_height: z of the tip of the nose above the face.
        mouth_y: y of the mouth.
        mouth_width: Half the width of the mouth.
        upper_lip: Thickness of the upper lip.
        lower_lip: Thickness of the lower lip.
        bow: Depth of the notch in the upper lip, in 0..1.
        skin: Color of the skin.
        hair: Color of the hair.
        iris: Color of the iris.
        lips: Color of the lips.
        hairstyle: One of `HAIRSTYLES`.
        hairline: y of the middle of the hairline.
        parting: x of the parting.
        volume: Thickness of the hair above the head.
        beard: Density of the beard: 0 none, 0.4 stubble, 1 full.
        moustache: Density of the moustache, in 0..1.
        age: Strength of wrinkles and folds, in 0..1.
        freckles: Number of freckles.
        moles: Positions of the moles, (n, 2).
        glasses: "round", "square", "half" or None.
        glasses_color: Color of the glasses.
        texture: Seed of all that is irregular about skin and hair.
    """

    face_width: float
    jaw: float
    chin: float
    eye_size: float
    eye_open: float
    eye_tilt: float
    brow_height: float
    brow_thickness: float
    brow_arch: float
    brow_slope: float
    brow_gap: float
    nose_length: float
    nose_width: float
    nose_bridge: float
    nose_height: float
    mouth_y: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    bow: float
    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    lips: np.ndarray
    hairstyle: str
    hairline: float
    parting: float
    volume: float
    beard: float
    moustache: float
    age: float
    freckles: int
    moles: np.ndarray
    glasses: str | None
    glasses_color: np.ndarray
    texture: int


@dataclass(frozen=True)
class View:
    """A view: everything that differs between two pictures of one person.

    Attributes:
        yaw: Turn of the head to the side in radians.
        pitch: Turn of the head up or down in radians.
        mouth_open: Gap between the lips in face units.
        smile: Strength of the smile, in -0.5..1.2. Negative values lower the corners of the mouth.
        eyelid: Eye opening as a share of the neutral one.
        brow_raise: Height of the brows above the neutral one in face units.
        gaze: Offset of the irises, (2,), in iris radii.
        light: Unit vector towards the light, (3,).
        ambient: Share of the light that comes from everywhere, in 0..1.
        gain: Gain of each color channel, (3,).
        jitter: Error of the alignment, (4,): rotation in radians, logarithm of the scale, shift in x and y in face
            units.
        clothes: Color of the clothes, (3,) RGB in 0..255.
        backdrop: Seed of the background and of the noise.
    """

    yaw: float
    pitch: float
    mouth_open: float
    smile: float
    eyelid: float
    brow_raise: float
    gaze: np.ndarray
    light: np.ndarray
    ambient: float
    gain: np.ndarray
    jitter: np.ndarray
    clothes: np.ndarray
    backdrop: int


def sample_person(seed: int) -> Person:
    """Sample a person.

    Args:
        seed: Number of the person.

    Returns:
        The person; a function of the seed alone.
    """
    r = np.random.default_rng((seed, 1))
    tone, skin, hair, iris = _sample_colors(r)
    bearded = r.random() < 0.4
    lips = skin * (0.86, 0.62, 0.62) + (18, 0, 6) + r.normal(0, 6, 3)
    if not bearded and r.random() < 0.35:
        lips = 0.45 * lips + 0.55 * np.array([r.uniform(150, 200), r.uniform(20, 60), r.uniform(40, 80)])
    glasses = r.random() < 0.2
    return Person(
        face_width=r.normal(1.11, 0.065),
        jaw=r.uniform(0.5, 0.95),
        chin=r.normal(1.88, 0.08),
        eye_size=r.uniform(0.205, 0.275),
        eye_open=r.uniform(0.36, 0.6),
        eye_tilt=r.normal(0.0, 0.09),
        brow_height=r.uniform(0.27, 0.45),
        brow_thickness=r.uniform(0.04, 0.125),
        brow_arch=r.uniform(0.0, 0.11),
        brow_slope=r.normal(0.0, 0.06),
        brow_gap=r.uniform(0.12, 0.26),
        nose_length=r.uniform(0.5, 0.66),
        nose_width=r.uniform(0.19, 0.34),
        nose_bridge=r.uniform(0.07, 0.12),
        nose_height=r.uniform(0.22, 0.4),
        mouth_y=r.normal(1.15, 0.05),
        mouth_width=r.uniform(0.33, 0.5),
        upper_lip=r.uniform(0.05, 0.14),
        lower_lip=r.uniform(0.08, 0.2),
        bow=r.uniform(0.05, 0.45),
        skin=np.clip(skin, 30, 252),
        hair=np.clip(hair * r.uniform(0.8, 1.2) + r.normal(0, 2, 3), 8, 245),
        iris=np.clip(iris + r.normal(0, 8, 3), 10, 220),
        lips=np.clip(lips, 25, 240),
        hairstyle=HAIRSTYLES[r.choice(len(HAIRSTYLES), p=[0.06, 0.1, 0.2, 0.17, 0.12, 0.13, 0.12, 0.1])],
        hairline=r.uniform(-1.12, -0.82),
        parting=r.uniform(-0.6, 0.6),
        volume=r.uniform(0.12, 0.34),
        beard=float(r.choice([0.4, 1.0])) * r.uniform(0.6, 1) if bearded and r.random() < 0.75 else 0.0,
        moustache=r.uniform(0.4, 1.0) if bearded and r.random() < 0.7 else 0.0,
        age=float(r.beta(1.2, 1.8)),
        freckles=int(r.choice([0, 0, 0, 25, 70])) if tone < 2.5 else 0,
        moles=r.uniform((-0.8, 0.3), (0.8, 1.5), (r.integers(0, 3), 2)),
        glasses=("round", "square", "half")[r.integers(3)] if glasses else None,
        glasses_color=np.array([(25, 25, 28), (90, 55, 30), (150, 130, 60), (120, 25, 35)], float)[r.integers(4)],
        texture=int(r.integers(2**31)),
    )


def _sample_colors(r: np.random.Generator) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Tone of the skin, from 0 (fair) to 5 (dark), and the colors of skin, hair and iris."""
    tone = r.uniform(0, len(SKIN_COLORS) - 1)
    low = int(min(tone, len(SKIN_COLORS) - 2))
    skin = (
        SKIN_COLORS[low] + (tone - low) * (SKIN_COLORS[low + 1] - SKIN_COLORS[low]) + r.normal(0, 5) + r.normal(0, 3, 3)
    )
    # Fair hair and light eyes go with fair skin more often than not.
    hair = HAIR_COLORS[r.integers(len(HAIR_COLORS))] if r.random() > tone / 5 else HAIR_COLORS[r.integers(2)]
    iris = IRIS_COLORS[r.integers(len(IRIS_COLORS))] if r.random() > tone / 4 else IRIS_COLORS[r.integers(2)]
    return tone, skin, hair, iris


def sample_view(seed: int, person_seed: int) -> View:
    """Sample a view of a person. Different people have different views of one number.

    Args:
        seed: Number of the view.
        person_seed: Number of the person.

    Returns:
        The view; a function of both seeds alone.
    """
    r = np.random.default_rng((person_seed, seed, 2))
    light = np.array([r.normal(0, 0.55), -abs(r.normal(0.35, 0.25)), 1.0])
    talking = r.random() < 0.45
    return View(
        yaw=float(np.clip(r.normal(0, 0.16), -0.36, 0.36)),
        pitch=float(np.clip(r.normal(0, 0.09), -0.2, 0.2)),
        mouth_open=float(r.uniform(0.02, 0.24)) if talking else 0.0,
        smile=float(np.clip(r.normal(0.3, 0.45), -0.5, 1.2)),
        eyelid=float(np.clip(r.normal(0.95, 0.16), 0.4, 1.25)),
        brow_raise=float(np.clip(r.normal(0, 0.04), -0.06, 0.1)),
        gaze=np.clip(r.normal(0, 0.35, 2), -0.7, 0.7) * (1.0, 0.4),
        light=light / np.linalg.norm(light),
        ambient=float(r.uniform(0.4, 0.75)),
        gain=r.uniform(0.78, 1.08) * (1 + r.normal(0, 0.04, 3)),
        jitter=r.normal(0, 1, 4) * (0.03, 0.02, 0.02, 0.02),
        clothes=r.uniform(20, 235, 3),
        backdrop=int(r.integers(2**31)),
    )


def depth(person: Person, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute the height of the face above the plane of its outline.

    Args:
        person: The person.
        x: Any shape, in face units.
        y: Same shape, in face units.

    Returns:
        z, same shape, in face units.
    """
    inside = 1 - (x / (person.face_width * 1.08)) ** 2 - ((y - 0.15) / 1.95) ** 2
    # Beyond the outline the height falls steeply. Otherwise the cheek that is turned away would catch the light.
    z = np.sqrt(np.maximum(inside, 0) + 0.01) + 1.5 * np.minimum(inside, 0)
    along = np.clip((y + 0.15) / (person.nose_length + 0.15), 0, 1)
    beyond = np.clip((y - person.nose_length - 0.02) / 0.13, 0, 1)
    width = 0.085 + 0.45 * person.nose_width * along**2
    z = z + person.nose_height * along**1.4 * (1 - beyond) ** 2 * np.exp(-((x / width) ** 2))
    sockets = np.exp(-(((np.abs(x) - 0.48) / 0.3) ** 2 + ((y + 0.02) / 0.17) ** 2))
    lips = np.exp(-((x / 0.4) ** 2 + ((y - person.mouth_y - 0.02) / 0.17) ** 2))
    cheeks = np.exp(-(((np.abs(x) - 0.6) / 0.25) ** 2 + ((y - 0.5) / 0.25) ** 2))
    return z - 0.13 * sockets + 0.08 * lips + 0.06 * cheeks


def _smooth(knots: np.ndarray, pieces: int) -> FaceCurve:
    """Catmull-Rom curve (pieces · (K − 1) + 1, 2) through K knots (K, 2), which lie at the multiples of `pieces`."""
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = (np.arange(pieces) / pieces)[:, None]
    a, b, c, d = (padded[i : len(padded) - 3 + i][:, None] for i in range(4))
    body = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.concatenate([body.reshape(-1, 2), knots[-1:]])


def _mirror(curve: FaceCurve) -> FaceCurve:
    return curve * (-1.0, 1.0)


def flat_curves(person: Person, view: View) -> dict[str, FaceCurve]:
    """Compute the curves of the frontal face.

    Names that end in `_l` and `_r` are on the left and the right of the image; the curves on the right run from the
    middle of the face outwards. The jaw has 81 points (image left to right over the chin), eye and eyelid curves 31
    each, the edges of the brows 37 each, the nose 97 (from the bridge on the left around the base to the bridge on the
    right) and the lips 85 each (left to right).

    Args:
        person: The person.
        view: The view, of which only the expression is used.

    Returns:
        Curves by name, (n, 2) each, in face units.
    """
    curves = _outline(person, view) | _right_eye(person, view) | _right_brow(person, view)
    curves |= _nose(person) | _mouth(person, view)
    for name in [name for name in curves if name.endswith("_r")]:
        curves[name[:-1] + "l"] = _mirror(curves[name])
    return curves


def _outline(p: Person, v: View) -> dict[str, FaceCurve]:
    drop = 0.5 * v.mouth_open
    phi = np.linspace(0, np.pi, 81)
    side = np.sign(np.cos(phi)) * np.abs(np.cos(phi)) ** p.jaw
    return {
        "jaw": np.stack([-p.face_width * side, -0.05 + (p.chin + drop + 0.05) * np.sin(phi)], 1),
        "forehead": np.stack([p.face_width * np.cos(phi), -0.05 - 1.45 * np.sin(phi)], 1),
    }


def _right_eye(p: Person, v: View) -> dict[str, FaceCurve]:
    t = np.linspace(0, 1, 31)
    x = 0.5 + p.eye_size * (2 * t - 1)
    tilt = -p.eye_tilt * (x - 0.5)
    height = p.eye_open * p.eye_size * v.eyelid
    squint = 1 - 0.25 * max(v.smile, 0)
    lid = (p.eye_open * p.eye_size + 0.05) * np.sin(np.pi * t**0.9) ** 0.8
    return {
        "eye_upper_r": np.stack([x, tilt - height * np.sin(np.pi * t**0.9) ** 0.8], 1),
        "eye_lower_r": np.stack([x, tilt + 0.62 * height * squint * np.sin(np.pi * t**1.15) ** 0.9], 1),
        "crease_r": np.stack([x, tilt - lid], 1),
        "bag_r": np.stack([x, tilt + (0.1 + 0.62 * height) * np.sin(np.pi * t)], 1),
    }


def _right_brow(p: Person, v: View) -> dict[str, FaceCurve]:
    t = np.linspace(0, 1, 37)
    x = p.brow_gap + (0.5 + p.eye_size + 0.12 - p.brow_gap) * t
    y = -p.brow_height - v.brow_raise - p.brow_arch * np.sin(np.pi * t**1.4) + p.brow_slope * (t - 0.5)
    half = 0.5 * p.brow_thickness * (1 - 0.75 * t**1.7) * np.minimum(1, 0.5 + 6 * t)
    return {"brow_upper_r": np.stack([x, y - half], 1), "brow_lower_r": np.stack([x, y + half], 1)}


def _nose(p: Person) -> dict[str, FaceCurve]:
    n, w = p.nose_length, p.nose_width
    half_nose = np.array(
        [
            (-p.nose_bridge, -0.1),
            (-p.nose_bridge * 1.05, 0.18),
            (-0.78 * w, n - 0.16),
            (-w, n - 0.02),
            (-0.8 * w, n + 0.085),
            (-0.36 * w, n + 0.075),
            (0, n + 0.12),
        ]
    )
    return {
        "nose": _smooth(np.concatenate([half_nose, _mirror(half_nose[-2::-1])]), 8),
        "bridge": np.stack([np.zeros(4), np.linspace(-0.05, n, 4)], 1),
    }


def _mouth(p: Person, v: View) -> dict[str, FaceCurve]:
    """Lips and the folds beside them; the fold on the left is the mirrored one on the right."""
    s = np.linspace(0, 1, 85)
    hump = np.sin(np.pi * s)
    half_width = p.mouth_width * (1 + 0.14 * v.smile)
    x = half_width * (2 * s - 1)
    corner = p.mouth_y - 0.075 * v.smile * (2 * np.abs(s - 0.5)) ** 2.2 + 0.02
    cupid = 1 - p.bow * np.exp(-(((s - 0.5) / 0.08) ** 2))
    thin = 1 - 0.25 * max(v.smile, 0)
    gap_up, gap_down = 0.25 * v.mouth_open * hump**0.7, (0.75 * v.mouth_open + 0.004) * hump**0.7
    wave = 0.02 * np.sin(3 * np.pi * s) * hump
    inner_x = 0.93 * x
    n, w = p.nose_length, p.nose_width
    fold = np.array(
        [(-0.95 * w, n), (-half_width - 0.07, 0.5 * (n + p.mouth_y)), (-half_width - 0.13, p.mouth_y + 0.05)]
    )
    return {
        "lip_top": np.stack([x, corner - gap_up - p.upper_lip * thin * hump**0.75 * cupid], 1),
        "lip_inner_top": np.stack([inner_x, corner - gap_up + wave], 1),
        "lip_inner_bottom": np.stack([inner_x, corner + gap_down + wave], 1),
        "lip_bottom": np.stack([x, corner + gap_down + p.lower_lip * thin * hump**0.8], 1),
        "fold_r": _mirror(_smooth(fold, 8)),
    }


class Projection:
    """Projection of face units to pixels: a turn of the head, then a similarity that aligns its five points.

    Args:
        person: The person.
        view: The view.
        five: Eye centers, nose tip and mouth corners of the frontal face, (5, 2), in face units.
        size: Side of the aligned face in pixels. The template of the alignment is scaled to it.
        offset: Offset of the aligned face from the origin of the picture, in pixels.
    """

    def __init__(self, person: Person, view: View, five: np.ndarray, size: int, offset: int) -> None:
        self.person = person
        cy, sy, cp, sp = np.cos(view.yaw), np.sin(view.yaw), np.cos(view.pitch), np.sin(view.pitch)
        self.turn = np.array([[cy, 0, sy], [sp * sy, cp, -sp * cy]])
        flat = self._turned(five, depth(person, five[:, 0], five[:, 1]))
        angle, zoom, *shift = view.jitter
        goal = template(size, offset)
        source = flat[:, 0] + 1j * flat[:, 1]
        target = goal[:, 0] + 1j * goal[:, 1]
        centered = source - source.mean()
        self.scale = (np.vdot(centered, target) / np.vdot(centered, centered)) * np.exp(1j * angle + zoom)
        self.shift = target.mean() + self.scale * complex(*shift) - self.scale * source.mean()

    @property
    def unit(self) -> float:
        """Pixels per face unit."""
        return abs(self.scale)

    def __call__(self, points: np.ndarray, z: np.ndarray | float | None = None) -> np.ndarray:
        """Project points to pixels.

        Args:
            points: (n, 2), in face units.
            z: Heights of the points, scalar or (n,), in face units. None puts the points on the face.

        Returns:
            (n, 2), in pixels.
        """
        flat = self._turned(points, depth(self.person, points[:, 0], points[:, 1]) if z is None else z)
        pixels = self.scale * (flat[:, 0] + 1j * flat[:, 1]) + self.shift
        return np.stack([pixels.real, pixels.imag], 1)

    def face_grid(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Compute the point of the head that each pixel shows.

        Args:
            side: Side of the picture in pixels.

        Returns:
            x and y on the frontal face, (side, side) float32 each, in face units.
        """
        along = np.arange(side, dtype=np.float32)
        back = 1 / self.scale
        start = -self.shift * back
        u = (back.real * along)[None] - (back.imag * along)[:, None] + start.real
        v = (back.imag * along)[None] + (back.real * along)[:, None] + start.imag
        u, v = u.astype(np.float32), v.astype(np.float32)
        dome = np.sqrt(np.maximum(1 - (u / self.person.face_width / 1.08) ** 2 - (v / 1.95) ** 2, 0) + 0.01)
        x = (u - self.turn[0, 2] * dome) / self.turn[0, 0]
        y = (v - self.turn[1, 0] * x - self.turn[1, 2] * dome) / self.turn[1, 1]
        return x.astype(np.float32), y.astype(np.float32)

    def _turned(self, points: np.ndarray, z: np.ndarray | float) -> np.ndarray:
        solid = np.stack([points[:, 0], points[:, 1], np.broadcast_to(z, len(points))], 1)
        return solid @ self.turn.T


def five_of(curves: dict[str, FaceCurve]) -> np.ndarray:
    """Compute eye centers, nose tip and mouth corners from the curves.

    Args:
        curves: Curves of `flat_curves`, in any unit.

    Returns:
        (5, 2), in the unit of the curves.
    """
    eyes = [
        np.concatenate([curves[f"eye_upper_{side}"][::10], curves[f"eye_lower_{side}"][[10, 20]]]).mean(0)
        for side in "lr"
    ]
    return np.stack([*eyes, curves["bridge"][3], curves["lip_top"][0], curves["lip_top"][-1]])


def ibug68_of(curves: dict[str, FaceCurve]) -> np.ndarray:
    """Compute the points of the 300-W scheme from the curves.

    Args:
        curves: Curves of `flat_curves`, in any unit.

    Returns:
        (68, 2), in the unit of the curves.
    """
    brow = {side: (curves[f"brow_upper_{side}"][::9] + curves[f"brow_lower_{side}"][::9]) / 2 for side in "lr"}
    up = {side: curves[f"eye_upper_{side}"] for side in "lr"}
    low = {side: curves[f"eye_lower_{side}"] for side in "lr"}
    return np.concatenate(
        [
            curves["jaw"][::5],
            brow["l"][::-1],
            brow["r"],
            curves["bridge"],
            curves["nose"][32:65:8],
            up["l"][::-10],
            low["l"][[10, 20]],
            up["r"][::10],
            low["r"][[20, 10]],
            curves["lip_top"][::14],
            curves["lip_bottom"][-15:0:-14],
            curves["lip_inner_top"][::21],
            curves["lip_inner_bottom"][-22:0:-21],
        ]
    )


def helen194_of(curves: dict[str, FaceCurve]) -> np.ndarray:
    """Compute the points of the Helen scheme from the curves. Its first eye and brow are on the right of the image.

    Args:
        curves: Curves of `flat_curves`, in any unit.

    Returns:
        (194, 2), in the unit of the curves.
    """

    def ring(upper: FaceCurve, lower: FaceCurve, every: int) -> list[np.ndarray]:
        return [upper[::every], lower[-1 - every : 0 : -every]]

    def brow(side: str) -> list[np.ndarray]:
        return [curves[f"brow_upper_{side}"][::4], curves[f"brow_lower_{side}"][::-4]]

    return np.concatenate(
        [
            curves["jaw"][::2],
            curves["nose"][::6],
            *ring(curves["lip_top"], curves["lip_bottom"], 6),
            *ring(curves["lip_inner_top"], curves["lip_inner_bottom"], 6),
            *ring(curves["eye_upper_r"], curves["eye_lower_r"], 3),
            *ring(curves["eye_upper_l"], curves["eye_lower_l"], 3),
            *brow("r"),
            *brow("l"),
        ]
    )
