"""The shape of a synthetic face: who it is, how it is seen, and its curves and landmarks before any paint.

Face units: the eyes of a frontal face lie at (-.5, 0) and (.5, 0), y grows downwards, z towards the camera. Every curve
is sampled so finely that the points of each landmark scheme are samples of it: drawing, parsing and landmarks agree.
"""

from dataclasses import dataclass

import numpy as np

from rim_lightning.data.alignment import template

Curve = np.ndarray

SKINS = np.array(
    [(250, 224, 208), (240, 203, 180), (226, 176, 143), (199, 137, 100), (152, 98, 68), (100, 62, 46)], float
)


HAIRS = np.array(
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


IRISES = np.array([(62, 40, 28), (104, 68, 38), (98, 110, 60), (66, 118, 98), (86, 128, 172), (120, 140, 156)], float)
HAIRSTYLES = ("bald", "buzz", "short", "parted", "fringe", "long", "wavy", "curly")


@dataclass(frozen=True)
class Person:
    """What stays the same in every picture of one person: lengths in face units, colors in RGB 0..255."""

    face_width: float  # half width at the height of the eyes
    jaw: float  # exponent of the jaw line: small is square
    chin: float  # y of the chin
    eye_size: float  # half width of an eye
    eye_open: float  # height of the opening over the half width
    eye_tilt: float
    brow_height: float
    brow_thickness: float
    brow_arch: float
    brow_slope: float
    brow_gap: float  # |x| of the inner end
    nose_length: float  # y of the tip
    nose_width: float
    nose_bridge: float
    nose_height: float  # how far the tip stands out
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
    hairline: float  # y of the middle of the hairline
    parting: float  # x of the parting
    volume: float  # how far the hair stands off
    beard: float  # 0 none, .4 stubble, 1 full
    moustache: float
    age: float  # 0..1: wrinkles and folds
    freckles: int
    moles: np.ndarray  # (n, 2)
    glasses: str | None
    glasses_color: np.ndarray
    texture: int  # seed of everything irregular about skin and hair


@dataclass(frozen=True)
class View:
    """What differs between two pictures of one person: angles in radians, the rest relative to a neutral picture."""

    yaw: float
    pitch: float
    mouth_open: float  # gap between the lips in face units
    smile: float
    eyelid: float  # share of the neutral eye opening
    brow_raise: float
    gaze: np.ndarray  # (2,) in iris radii
    light: np.ndarray  # (3,) unit vector towards the light
    ambient: float
    gain: np.ndarray  # (3,) per channel
    jitter: np.ndarray  # (4,): rotation, log scale, shift x and y in face units
    clothes: np.ndarray
    backdrop: int  # seed


def sample_person(seed: int) -> Person:
    """The person number `seed`."""
    r = np.random.default_rng((seed, 1))
    tone = r.uniform(0, len(SKINS) - 1)
    low = int(min(tone, len(SKINS) - 2))
    skin = SKINS[low] + (tone - low) * (SKINS[low + 1] - SKINS[low]) + r.normal(0, 5) + r.normal(0, 3, 3)
    # Fair hair and light eyes go with fair skin more often than not.
    hair = HAIRS[r.integers(len(HAIRS))] if r.random() > tone / 5 else HAIRS[r.integers(2)]
    iris = IRISES[r.integers(len(IRISES))] if r.random() > tone / 4 else IRISES[r.integers(2)]
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


def sample_view(seed: int, person_seed: int) -> View:
    """View number `seed` of a person; different people are seen differently under one number."""
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
    """Height of the face above the plane of its outline, in face units; x and y of one shape, any."""
    inside = 1 - (x / (person.face_width * 1.08)) ** 2 - ((y - 0.15) / 1.95) ** 2
    # Beyond the outline it falls on steeply, or the cheek turned away would catch the light.
    z = np.sqrt(np.maximum(inside, 0) + 0.01) + 1.5 * np.minimum(inside, 0)
    along = np.clip((y + 0.15) / (person.nose_length + 0.15), 0, 1)
    beyond = np.clip((y - person.nose_length - 0.02) / 0.13, 0, 1)
    width = 0.085 + 0.45 * person.nose_width * along**2
    z = z + person.nose_height * along**1.4 * (1 - beyond) ** 2 * np.exp(-((x / width) ** 2))
    sockets = np.exp(-(((np.abs(x) - 0.48) / 0.3) ** 2 + ((y + 0.02) / 0.17) ** 2))
    lips = np.exp(-((x / 0.4) ** 2 + ((y - person.mouth_y - 0.02) / 0.17) ** 2))
    cheeks = np.exp(-(((np.abs(x) - 0.6) / 0.25) ** 2 + ((y - 0.5) / 0.25) ** 2))
    return z - 0.13 * sockets + 0.08 * lips + 0.06 * cheeks


def _smooth(knots: np.ndarray, pieces: int) -> Curve:
    """Catmull-Rom curve through (K, 2) knots: (pieces * (K - 1) + 1, 2), each knot at a multiple of `pieces`."""
    padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = (np.arange(pieces) / pieces)[:, None]
    a, b, c, d = (padded[i : len(padded) - 3 + i][:, None] for i in range(4))
    body = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.concatenate([body.reshape(-1, 2), knots[-1:]])


def _mirror(curve: Curve) -> Curve:
    return curve * (-1.0, 1.0)


def flat_curves(person: Person, view: View) -> dict[str, Curve]:
    """Name -> (n, 2) curve of the frontal face in face units; `_r` is the right of the image, sides run inwards out.

    jaw: 81, image left to right over the chin. eye, eyelids: 31 each. brow edges: 37 each. nose: 97, from the bridge on
    the left round the base to the bridge on the right. lips: 85 each, left to right.
    """
    p, v = person, view
    drop = 0.5 * v.mouth_open
    phi = np.linspace(0, np.pi, 81)
    side = np.sign(np.cos(phi)) * np.abs(np.cos(phi)) ** p.jaw
    curves = {
        "jaw": np.stack([-p.face_width * side, -0.05 + (p.chin + drop + 0.05) * np.sin(phi)], 1),
        "forehead": np.stack([p.face_width * np.cos(phi), -0.05 - 1.45 * np.sin(phi)], 1),
    }

    t = np.linspace(0, 1, 31)
    x = 0.5 + p.eye_size * (2 * t - 1)
    tilt = -p.eye_tilt * (x - 0.5)
    height = p.eye_open * p.eye_size * v.eyelid
    squint = 1 - 0.25 * max(v.smile, 0)
    curves["eye_upper_r"] = np.stack([x, tilt - height * np.sin(np.pi * t**0.9) ** 0.8], 1)
    curves["eye_lower_r"] = np.stack([x, tilt + 0.62 * height * squint * np.sin(np.pi * t**1.15) ** 0.9], 1)
    lid = (p.eye_open * p.eye_size + 0.05) * np.sin(np.pi * t**0.9) ** 0.8
    curves["crease_r"] = np.stack([x, tilt - lid], 1)
    curves["bag_r"] = np.stack([x, tilt + (0.1 + 0.62 * height) * np.sin(np.pi * t)], 1)

    t = np.linspace(0, 1, 37)
    x = p.brow_gap + (0.5 + p.eye_size + 0.12 - p.brow_gap) * t
    y = -p.brow_height - v.brow_raise - p.brow_arch * np.sin(np.pi * t**1.4) + p.brow_slope * (t - 0.5)
    half = 0.5 * p.brow_thickness * (1 - 0.75 * t**1.7) * np.minimum(1, 0.5 + 6 * t)
    curves["brow_upper_r"], curves["brow_lower_r"] = np.stack([x, y - half], 1), np.stack([x, y + half], 1)

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
    curves["nose"] = _smooth(np.concatenate([half_nose, _mirror(half_nose[-2::-1])]), 8)
    bridge = np.linspace(-0.05, n, 4)
    curves["bridge"] = np.stack([np.zeros(4), bridge], 1)

    s = np.linspace(0, 1, 85)
    hump = np.sin(np.pi * s)
    wide = p.mouth_width * (1 + 0.14 * v.smile)
    x = wide * (2 * s - 1)
    corner = p.mouth_y - 0.075 * v.smile * (2 * np.abs(s - 0.5)) ** 2.2 + 0.02
    cupid = 1 - p.bow * np.exp(-(((s - 0.5) / 0.08) ** 2))
    thin = 1 - 0.25 * max(v.smile, 0)
    gap_up, gap_down = 0.25 * v.mouth_open * hump**0.7, (0.75 * v.mouth_open + 0.004) * hump**0.7
    wave = 0.02 * np.sin(3 * np.pi * s) * hump
    inner_x = 0.93 * x
    curves["lip_top"] = np.stack([x, corner - gap_up - p.upper_lip * thin * hump**0.75 * cupid], 1)
    curves["lip_inner_top"] = np.stack([inner_x, corner - gap_up + wave], 1)
    curves["lip_inner_bottom"] = np.stack([inner_x, corner + gap_down + wave], 1)
    curves["lip_bottom"] = np.stack([x, corner + gap_down + p.lower_lip * thin * hump**0.8], 1)

    fold = np.array([(-0.95 * w, n), (-wide - 0.07, 0.5 * (n + p.mouth_y)), (-wide - 0.13, p.mouth_y + 0.05)])
    curves["fold_l"] = _smooth(fold, 8)
    curves["fold_r"] = _mirror(curves["fold_l"])
    for name in [name for name in curves if name.endswith("_r")]:
        curves[name[:-1] + "l"] = _mirror(curves[name])
    return curves


class Projection:
    """From face units to pixels: turn the head, then the similarity that brings its five points to the template.

    Args:
        person, view: what is looked at and how.
        five: (5, 2) frontal eye centers, nose tip, mouth corners.
        size: side of the aligned face in pixels, to which the template is scaled.
        offset: pixels between the origin of the picture and that of the aligned face.
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
        """(n, 2) face units to (n, 2) pixels; without `z` the points lie on the face."""
        flat = self._turned(points, depth(self.person, points[:, 0], points[:, 1]) if z is None else z)
        moved = self.scale * (flat[:, 0] + 1j * flat[:, 1]) + self.shift
        return np.stack([moved.real, moved.imag], 1)

    def face_grid(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Frontal face coordinates (x, y), each (side, side) float32, of the point of the head at every pixel."""
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


def five_of(curves: dict[str, Curve]) -> np.ndarray:
    """(5, 2): eye centers, nose tip and mouth corners of the curves, in their unit."""
    eyes = [
        np.concatenate([curves[f"eye_upper_{side}"][::10], curves[f"eye_lower_{side}"][[10, 20]]]).mean(0)
        for side in "lr"
    ]
    return np.stack([*eyes, curves["bridge"][3], curves["lip_top"][0], curves["lip_top"][-1]])


def ibug68_of(curves: dict[str, Curve]) -> np.ndarray:
    """(68, 2) points of the 300-W scheme on the curves."""
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


def helen194_of(curves: dict[str, Curve]) -> np.ndarray:
    """(194, 2) points of the Helen scheme on the curves; its first eye and brow are those on the right of the image."""

    def ring(upper: Curve, lower: Curve, every: int) -> list[np.ndarray]:
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
