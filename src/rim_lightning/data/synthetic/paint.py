"""The picture of a synthetic face and its parsing map: filled curves with light, skin and hair."""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

from rim_lightning.data.synthetic.shape import Person, Projection, View, depth
from rim_lightning.schemes import HELEN11

_, SKIN, LEFT_BROW, RIGHT_BROW, LEFT_EYE, RIGHT_EYE, NOSE, UPPER_LIP, MOUTH, LOWER_LIP, HAIR = range(
    len(HELEN11.classes)
)
"""Helen-11 classes. Left and right are those of the image."""

_SUBPIXEL = 4  # OpenCV takes coordinates in units of 2^-4 pixels
_TILE = 512  # side of the tile of noise in pixels


def _fixed(points: np.ndarray, zoom: int = 1) -> np.ndarray:
    """Convert pixels to OpenCV's fixed point on a canvas that is `zoom` times finer."""
    return np.round(((points + 0.5) * zoom - 0.5) * 2**_SUBPIXEL).astype(np.int32)


def _fill(
    canvas: np.ndarray, points: np.ndarray, value: float | Sequence[float], zoom: int = 1, line: int = cv2.LINE_8
) -> None:
    cv2.fillPoly(canvas, [_fixed(points, zoom)], value, line, _SUBPIXEL)


def _ring(upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """Closed outline from two curves that run in the same direction."""
    return np.concatenate([upper, lower[::-1]])


class HairShape:
    """Outlines of the hair.

    Args:
        person: The person.
        project: Projection of face units to pixels.

    Attributes:
        behind: Outlines of the hair behind the head, (n, 2) each, in pixels.
        before: Outlines of the hair before the head, (n, 2) each, in pixels.
        crown: Point where the strands start, (x, y) in face units.
    """

    def __init__(self, person: Person, project: Projection) -> None:
        p = person
        r = np.random.default_rng((p.texture, 1))
        self.behind: list[np.ndarray] = []
        self.before: list[np.ndarray] = []
        self.crown = (0.35 * p.parting, -1.5)
        if p.hairstyle == "bald":
            return
        volume = 0.05 if p.hairstyle == "buzz" else p.volume * (1.5 if p.hairstyle == "curly" else 1.0)
        phi = np.linspace(-0.05, np.pi + 0.05, 61)
        wobble = np.convolve(r.normal(0, 1, 65), np.ones(5) / 5, "valid")
        rough = {"curly": 0.06, "wavy": 0.035, "buzz": 0.0}.get(p.hairstyle, 0.018) * wobble
        dome = np.stack(
            [(p.face_width + 0.75 * volume + rough) * np.cos(phi), -0.05 - (1.45 + volume + rough) * np.sin(phi)], 1
        )
        line = self._hairline(p, r)
        self.before.append(project(np.concatenate([dome, line]), 0.1))
        if p.hairstyle in ("long", "wavy"):
            length = r.uniform(1.5, 2.4)
            y = np.linspace(-0.3, length, 25)
            swing = 0.05 * np.sin(y * (7 if p.hairstyle == "wavy" else 2.5) + r.uniform(0, 6))
            outer = p.face_width + 0.75 * volume + 0.08 * (y + 0.3) + swing
            inner = p.face_width * (0.93 + 0.03 * np.sin(2 * y + 1)) + 0.4 * swing
            for sign in (-1, 1):
                outline = np.concatenate([np.stack([sign * outer, y], 1), np.stack([sign * inner, y], 1)[::-1]])
                self.before.append(project(outline, 0.1))
            self.behind.append(project(_ring(np.stack([-outer, y], 1), np.stack([outer, y], 1)), -0.3))

    @staticmethod
    def _hairline(p: Person, r: np.random.Generator) -> np.ndarray:
        """Lower edge of the hair on the forehead, image left to right, (41, 2), in face units."""
        t = np.linspace(-1, 1, 41)
        x = p.face_width * 1.0 * np.sin(t * np.pi / 2)
        temple = -0.12 + (0.35 if p.hairstyle in ("long", "wavy", "curly") else 0.0)
        y = p.hairline + (temple - p.hairline) * np.abs(t) ** 3.2
        jag = r.normal(0, 0.02, 41)
        if p.hairstyle == "fringe":
            y = np.minimum(
                -0.02, p.hairline + 0.42 + 0.1 * p.parting * t + (temple - p.hairline - 0.42) * np.abs(t) ** 6
            )
            jag = jag * 2.2
        elif p.hairstyle in ("parted", "long", "wavy"):
            y = (
                y
                - 0.1 * np.exp(-(((x - p.parting) / 0.12) ** 2))
                + 0.16 * np.tanh(4 * np.abs(x - p.parting)) * (1 - t**2)
            )
        elif p.hairstyle == "short":
            y = y + 0.05 * np.sin(9 * t + p.parting * 9) * (1 - t**2)
            jag = jag * 1.6
        return np.stack([x, y + jag * (1 - t**4)], 1)


def parse(curves: dict[str, np.ndarray], hair: HairShape, side: int) -> np.ndarray:
    """Fill the parsing map of a face.

    Args:
        curves: Curves of `flat_curves`, projected to pixels.
        hair: Outlines of the hair.
        side: Side of the picture in pixels.

    Returns:
        Helen-11 classes, (side, side) uint8.
    """
    classes = np.zeros((side, side), np.uint8)
    for outline in hair.behind:
        _fill(classes, outline, HAIR)
    _fill(classes, np.concatenate([curves["jaw"], curves["forehead"]]), SKIN)
    _fill(classes, curves["nose"], NOSE)
    _fill(classes, _ring(curves["lip_top"], curves["lip_bottom"]), MOUTH)
    _fill(classes, _ring(curves["lip_top"], curves["lip_inner_top"]), UPPER_LIP)
    _fill(classes, _ring(curves["lip_inner_bottom"], curves["lip_bottom"]), LOWER_LIP)
    for suffix, brow, eye in (("_l", LEFT_BROW, LEFT_EYE), ("_r", RIGHT_BROW, RIGHT_EYE)):
        _fill(classes, _ring(curves["brow_upper" + suffix], curves["brow_lower" + suffix]), brow)
        _fill(classes, _ring(curves["eye_upper" + suffix], curves["eye_lower" + suffix]), eye)
    for outline in hair.before:
        _fill(classes, outline, HAIR)
    return classes


@cache
def _noise_tile() -> np.ndarray:
    """Periodic noise of unit variance at several scales, (512, 512) float32. Computed once per process."""
    r = np.random.default_rng(7)
    tile = np.zeros((_TILE, _TILE), np.float32)
    for sigma, weight in ((0.7, 1.0), (1.6, 0.9), (4.0, 0.8)):
        padded = np.pad(r.normal(size=(_TILE, _TILE)).astype(np.float32), 16, mode="wrap")
        layer = cv2.GaussianBlur(padded, (0, 0), sigma)[16:-16, 16:-16]
        tile += weight * layer / layer.std()
    return tile / tile.std()


@cache
def _strand_table() -> np.ndarray:
    """Brightness of the strands across the flow of the hair: periodic noise of unit variance, (4096,) float32."""
    r = np.random.default_rng(8)
    fine, coarse = r.normal(size=(2, 4096))
    kernel = np.hanning(33)
    coarse = np.convolve(np.pad(coarse, 16, mode="wrap"), kernel / np.linalg.norm(kernel), "valid")
    return (0.75 * np.convolve(np.pad(fine, 1, mode="wrap"), [0.4, 0.8, 0.4], "valid") + 0.65 * coarse).astype(
        np.float32
    )


class Painter:
    """Painter of one face: flat colors on a finer canvas, then light, skin and hair at the final size.

    Args:
        person: The person.
        view: The view.
        project: Projection of face units to pixels.
        curves: Curves of `flat_curves`, projected to pixels.
        hair: Outlines of the hair.
        side: Side of the picture in pixels.
    """

    def __init__(
        self,
        person: Person,
        view: View,
        project: Projection,
        curves: dict[str, np.ndarray],
        hair: HairShape,
        side: int,
    ) -> None:
        self.person, self.view, self.project = person, view, project
        self.curves, self.hair, self.side = curves, hair, side
        self.head = np.concatenate([curves["jaw"], curves["forehead"]])
        self.zoom = int(np.clip(round(320 / side), 2, 4))
        self.unit = project.unit
        self.person_rng = np.random.default_rng((person.texture, 2))
        self.view_rng = np.random.default_rng((view.backdrop, 3))
        self.canvas = self._backdrop()

    def paint(self) -> np.ndarray:
        """Paint the face. A painter can do so once, because it advances its random numbers.

        Returns:
            (side, side, 3) uint8 RGB.
        """
        self._body()
        self._skin()
        self._mouth()
        for side in "lr":
            self._eye(side)
        self._brows()
        self._front_hair()
        self._glasses()
        return self._develop()

    # -- flat colors on the fine canvas ---------------------------------------------------------------------------

    def _polygon(self, points: np.ndarray, color: np.ndarray) -> None:
        _fill(self.canvas, points, tuple(map(float, color)), self.zoom, cv2.LINE_AA)

    def _stroke(self, points: np.ndarray, color: np.ndarray, width: float) -> None:
        """Paint a line of `width` face units, at least one pixel of the fine canvas."""
        thickness = max(1, round(width * self.unit * self.zoom))
        rgb = tuple(map(float, color))
        cv2.polylines(self.canvas, [_fixed(points, self.zoom)], False, rgb, thickness, cv2.LINE_AA, _SUBPIXEL)

    def _backdrop(self) -> np.ndarray:
        r = self.view_rng
        fine = self.side * self.zoom
        corners = (r.uniform(40, 215) + r.normal(0, 22, 3) + r.normal(0, 18, (2, 2, 3))).astype(np.float32)
        field = cv2.resize(corners, (40, 40), interpolation=cv2.INTER_LINEAR)
        waves = r.normal(0, 9, (5, 5, 3)).astype(np.float32)
        smooth = field + cv2.resize(waves, (40, 40), interpolation=cv2.INTER_CUBIC)
        canvas = cv2.resize(np.clip(smooth, 0, 255).astype(np.uint8), (fine, fine), interpolation=cv2.INTER_LINEAR)
        for _ in range(r.integers(0, 5)):
            x, y = r.uniform(0, fine, 2)
            shade = np.clip(corners.mean((0, 1)) + r.normal(0, 30) + r.normal(0, 12, 3), 0, 255)
            if r.random() < 0.5:
                box = cv2.boxPoints(((x, y), tuple(r.uniform(0.1, 0.9, 2) * fine), r.uniform(0, 90)))
                cv2.fillPoly(canvas, [box.astype(np.int32)], tuple(map(float, shade)), cv2.LINE_AA)
            else:
                cv2.circle(
                    canvas,
                    (int(x), int(y)),
                    int(r.uniform(0.03, 0.2) * fine),
                    tuple(map(float, shade)),
                    -1,
                    cv2.LINE_AA,
                )
        return canvas

    def _body(self) -> None:
        p = self.person
        for outline in self.hair.behind:
            self._polygon(outline, 0.75 * p.hair)
        w = 0.66 * p.face_width
        neck = np.array([(-w, 0.9), (-0.95 * w, 1.9), (-1.5 * w, 2.8), (1.5 * w, 2.8), (0.95 * w, 1.9), (w, 0.9)])
        self._polygon(self.project(neck, -0.3), 0.8 * p.skin)
        shoulders = np.array([(-2.6, 3.2), (-2.4, 2.3), (-w, 2.0), (0, 2.3), (w, 2.0), (2.4, 2.3), (2.6, 3.2)])
        self._polygon(self.project(shoulders, -0.2), self.view.clothes)
        if p.hairstyle in ("long", "wavy"):
            return
        t = np.linspace(0, 2 * np.pi, 25)
        for sign in (-1, 1):
            ear = np.stack([sign * (p.face_width + 0.02) + 0.12 * np.cos(t), 0.16 + 0.3 * np.sin(t)], 1)
            self._polygon(self.project(ear, -0.1), 0.93 * p.skin)
            inner = ear * (1, 0.6) + (sign * 0.02, 0.06)
            self._stroke(self.project(inner, -0.1), 0.68 * p.skin, 0.03)

    def _skin(self) -> None:
        p, r = self.person, self.person_rng
        self._polygon(self.head, p.skin)
        spots = np.concatenate(
            [r.normal((0, 0.45), (0.36, 0.2), (p.freckles, 2)).clip((-0.8, -0.1), (0.8, 1.1)), p.moles]
        )
        pixels = _fixed(self.project(spots), self.zoom) if len(spots) else ()
        for k, (x, y) in enumerate(pixels):
            mole = k >= p.freckles
            radius = (0.032 if mole else r.uniform(0.008, 0.018)) * self.unit * self.zoom
            tone = p.skin * ((0.42, 0.36, 0.34) if mole else (0.84, 0.76, 0.7))
            center = (int(x), int(y))
            cv2.circle(self.canvas, center, int(radius * 2**_SUBPIXEL), tone.tolist(), -1, cv2.LINE_AA, _SUBPIXEL)

    def _mouth(self) -> None:
        p, c, unit = self.person, self.curves, self.unit
        inside = _ring(c["lip_inner_top"], c["lip_inner_bottom"])
        self._polygon(_ring(c["lip_top"], c["lip_bottom"]), 0.55 * p.lips)
        self._polygon(inside, np.array([58, 18, 20]))
        if self.view.mouth_open > 0.06:
            gap = c["lip_inner_bottom"] - c["lip_inner_top"]
            teeth = c["lip_inner_top"] + np.minimum(0.6, 0.1 * unit / np.maximum(np.abs(gap[:, 1:]), 1)) * gap
            self._polygon(_ring(c["lip_inner_top"], teeth)[8:-8], np.array([236, 230, 218]))
            for k in range(18, 70, 8):
                self._stroke(np.stack([c["lip_inner_top"][k], teeth[k]]), np.array([196, 186, 174]), 0.008)
        self._polygon(_ring(c["lip_top"], c["lip_inner_top"]), 0.9 * p.lips)
        self._polygon(_ring(c["lip_inner_bottom"], c["lip_bottom"]), np.minimum(1.07 * p.lips, 255))
        self._stroke(c["lip_inner_top"], 0.45 * p.lips, 0.016)
        for k in range(10, 78, 5):  # furrows of the lips
            for top, bottom in (("lip_top", "lip_inner_top"), ("lip_inner_bottom", "lip_bottom")):
                ends = c[top][k] + np.array([[0.25], [0.75]]) * (c[bottom][k] - c[top][k])
                self._stroke(ends, (0.8 if k % 2 else 1.12) * p.lips.clip(0, 220), 0.006)
        shine = c["lip_inner_bottom"][30:55] * 0.55 + c["lip_bottom"][30:55] * 0.45
        self._stroke(shine, np.minimum(p.lips + 45, 255), 0.022)

    def _eye(self, side: str) -> None:
        p, v, c, r = self.person, self.view, self.curves, self.person_rng
        upper, lower = c[f"eye_upper_{side}"], c[f"eye_lower_{side}"]
        outline = _ring(upper, lower)
        corner = np.round(outline.min(0)).astype(int) - 2
        extent = np.round(outline.max(0)).astype(int) + 3 - corner
        if (corner < 0).any() or (corner + extent > self.side).any():
            return
        # The eyeball is painted on a patch, of which only the part between the lids is copied to the canvas.
        fine = (
            slice(corner[1] * self.zoom, (corner + extent)[1] * self.zoom),
            slice(corner[0] * self.zoom, (corner + extent)[0] * self.zoom),
        )
        patch = np.empty((*(extent[::-1] * self.zoom), 3), np.uint8)
        patch[:] = (232, 228, 222)
        ball = _fixed(outline - corner, self.zoom)
        center = np.array([0.5 if side == "r" else -0.5, -0.02]) + 0.3 * p.eye_size * v.gaze
        cx, cy = _fixed(self.project(center[None]) - corner, self.zoom)[0].tolist()
        radius = 0.46 * p.eye_size * self.unit * self.zoom
        rings = ((1.06, 0.45 * p.iris), (0.94, p.iris), (0.72, np.minimum(1.3 * p.iris, 255)), (0.42, np.full(3, 12.0)))
        for k, (share, color) in enumerate(rings):
            cv2.circle(patch, (cx, cy), int(share * radius * 16), color.tolist(), -1, cv2.LINE_AA, _SUBPIXEL)
            if k == 2:
                for angle in np.linspace(0, 2 * np.pi, 15)[:-1]:
                    ends = np.array([[cx, cy]]) + 16 * radius * np.outer([0.4, 0.9], [np.cos(angle), np.sin(angle)])
                    cv2.polylines(
                        patch, [ends.astype(np.int32)], False, (0.7 * p.iris).tolist(), 1, cv2.LINE_AA, _SUBPIXEL
                    )
        lit = np.array([cx, cy]) + 16 * radius * np.array([0.35, -0.35]) * np.sign(v.light[0] + 1e-6) ** np.array(
            [1, 2]
        )
        cv2.circle(
            patch, tuple(lit.astype(int).tolist()), int(0.19 * radius * 16), (250, 250, 250), -1, cv2.LINE_AA, _SUBPIXEL
        )
        # The upper lid casts a shadow on the eyeball.
        shadow = _fixed(upper - corner, self.zoom)
        cv2.polylines(
            patch, [shadow], False, (96, 84, 80), max(1, round(0.035 * self.unit * self.zoom)), cv2.LINE_AA, _SUBPIXEL
        )
        mask = np.zeros(patch.shape[:2], np.uint8)
        cv2.fillPoly(mask, [ball], 255, cv2.LINE_AA, _SUBPIXEL)
        alpha = cv2.merge([mask] * 3)
        eyeball = cv2.multiply(patch, alpha, scale=1 / 255)
        self.canvas[fine] = cv2.add(eyeball, cv2.multiply(self.canvas[fine], 255 - alpha, scale=1 / 255))

        dark = 0.3 * p.skin
        self._stroke(c[f"crease_{side}"], 0.72 * p.skin, 0.014)
        self._stroke(lower, 0.66 * p.skin, 0.01)
        self._stroke(upper, 0.5 * dark + 8, 0.024)
        outward = 1.0 if side == "r" else -1.0
        for k in range(3, 31, 3):  # lashes
            lash = np.array([(0, 0), (outward * (0.015 + 0.0025 * k), -0.055 - 0.01 * r.random())]) * self.unit
            self._stroke(upper[k] + lash, 0.4 * dark, 0.006)

    def _brows(self) -> None:
        p, c, r = self.person, self.curves, self.person_rng
        base = 0.45 * p.skin + 0.55 * np.minimum(p.hair, 120)
        for side in "lr":
            upper, lower = c[f"brow_upper_{side}"], c[f"brow_lower_{side}"]
            self._polygon(_ring(upper, lower), base)
            outward = 1.0 if side == "r" else -1.0
            for k in range(1, 34, 2):
                root = lower[k] + r.uniform(0, 0.5) * (upper[k] - lower[k])
                tip = upper[min(k + 3, 36)] + (outward * 0.02 * self.unit, -0.01 * self.unit * (k < 20))
                self._stroke(np.stack([root, tip]), r.uniform(0.55, 0.9) * np.minimum(p.hair, 110), 0.008)

    def _front_hair(self) -> None:
        for outline in self.hair.before:
            self._polygon(outline, self.person.hair)

    def _glasses(self) -> None:
        p = self.person
        if p.glasses is None:
            return
        t = np.linspace(0, 2 * np.pi, 33)
        corner = {"round": 1.0, "square": 0.45, "half": 0.6}[p.glasses]
        x = np.sign(np.cos(t)) * np.abs(np.cos(t)) ** corner
        y = np.sign(np.sin(t)) * np.abs(np.sin(t)) ** corner
        for sign in (-1, 1):
            rim = np.stack([sign * 0.52 + 0.37 * x, 0.06 + 0.27 * y], 1)
            if p.glasses == "half":
                rim = rim[(y <= 0.1) | (np.arange(33) == 0)]
            rim = self.project(rim, depth(p, np.array(sign * 0.5), np.array(0.1)) + 0.12)
            self._stroke(rim, p.glasses_color, 0.035 if p.glasses != "half" else 0.05)
            temple = self.project(np.array([(sign * 0.88, 0.0), (sign * p.face_width, -0.06)]), np.array([0.7, 0.1]))
            self._stroke(temple, p.glasses_color, 0.03)
        nose = np.array([(-0.15, 0.0), (0, -0.05), (0.15, 0.0)])
        self._stroke(self.project(nose, 1.2), p.glasses_color, 0.035)

    # -- light and texture at the final size -------------------------------------------------------------------------

    def _masks(self) -> tuple[np.ndarray, np.ndarray]:
        """Soft coverage of the head and of the hair, each (side, side) float32 in [0, 1]."""
        fine = self.side * self.zoom
        masks = np.zeros((2, fine, fine), np.uint8)
        _fill(masks[0], self.head, 255, self.zoom, cv2.LINE_AA)
        layers = [(outline, 255) for outline in self.hair.behind] + [(self.head, 0)]
        for outline, cover in layers + [(outline, 255) for outline in self.hair.before]:
            _fill(masks[1], outline, cover, self.zoom, cv2.LINE_AA)
        small = [cv2.resize(mask, (self.side,) * 2, interpolation=cv2.INTER_AREA) for mask in masks]
        head, hair = (mask.astype(np.float32) / 255 for mask in small)
        return head, hair

    def _soft(self, shapes: list[tuple[np.ndarray, float, float]], blur: float) -> np.ndarray:
        """Sum of blurred strokes (curve in pixels, width in face units, strength), (side, side) float32."""
        canvas = np.zeros((self.side, self.side), np.float32)
        for points, width, strength in shapes:
            layer_width = max(1, round(width * self.unit))
            cv2.polylines(canvas, [_fixed(points)], False, strength, layer_width, cv2.LINE_8, _SUBPIXEL)
        return cv2.GaussianBlur(canvas, (0, 0), max(blur * self.unit, 0.5))

    def _folds(self) -> np.ndarray:
        """Darkening of the skin by folds, sockets and the shadow of nose and lips: (side, side) float32."""
        p, c = self.person, self.curves
        fold = 0.15 + 0.3 * p.age + 0.2 * max(self.view.smile, 0)
        fine = [(c[f"bag_{side}"], 0.02, 0.1 + 0.35 * p.age) for side in "lr"]
        fine += [(c["nose"][[26, 32, 38]], 0.03, 0.35), (c["nose"][[58, 64, 70]], 0.03, 0.35)]
        for number in range(3):
            x = np.linspace(-0.5, 0.5, 9)
            line = np.stack([x, -0.58 - 0.12 * number + 0.02 * np.cos(6 * x + number)], 1)
            fine.append((self.project(line), 0.02, 0.28 * max(p.age - 0.35, 0)))
        nostrils = [(c["nose"][[37, 41]], 0.06, 0.9), (c["nose"][[55, 59]], 0.06, 0.9)]
        below = (self.person.mouth_width * 0.5 * self.unit, 0.0)
        under = c["lip_bottom"][42] + np.array([(-below[0], 0), below]) + (0, 0.06 * self.unit)
        wide = [(c["nose"][34:63], 0.1, 0.22), (under, 0.08, 0.25)]
        wide += [(c[f"fold_{side}"], 0.06, 0.8 * fold) for side in "lr"]
        wide += [(c["nose"][part], 0.06, 0.2) for part in (slice(2, 32), slice(65, 95))]
        wide += [(c[f"crease_{side}"], 0.1, 0.2) for side in "lr"]
        return self._soft(fine, 0.012) + self._soft(nostrils, 0.015) + self._soft(wide, 0.05)

    def _light(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Diffuse light and gloss on the head, each (side, side) float32."""
        v = self.view
        z = depth(self.person, x, y).astype(np.float32)
        step = 1 / self.unit
        slope_x = cv2.Sobel(z, cv2.CV_32F, 1, 0, ksize=3) / (8 * step)
        slope_y = cv2.Sobel(z, cv2.CV_32F, 0, 1, ksize=3) / (8 * step)
        norm = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
        towards = np.clip((v.light[2] - slope_x * v.light[0] - slope_y * v.light[1]) * norm, 0, 1)
        return v.ambient + (1.08 - v.ambient) * towards, towards**18

    def _strands(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Brightness of the hair at each pixel, zero on average: (side, side) float32."""
        p = self.person
        dx, dy = x - self.hair.crown[0], y - self.hair.crown[1]
        radius, angle = cv2.cartToPolar(dx, 1.3 * dy)
        bend = {"wavy": 0.16, "curly": 0.5, "short": 0.08}.get(p.hairstyle, 0.04)
        swing = bend * np.sin(radius * (9 if p.hairstyle in ("wavy", "curly") else 4) + p.parting * 5)
        # The number of strands follows the resolution: about one in three pixels along the outline of the head.
        strand = (angle + swing + 1.7 * p.volume) * (1.1 * self.unit)
        strands = _strand_table()[strand.astype(np.int32) & 4095]
        if p.hairstyle in ("curly", "buzz"):
            strands = 0.4 * strands + self._patch_of_noise(p.texture)
        shine = np.exp(-(((radius - 0.75) / 0.22) ** 2))
        return 0.16 * strands + 0.2 * shine - 0.1

    def _patch_of_noise(self, seed: int) -> np.ndarray:
        top, left = seed % (_TILE - self.side), (seed // _TILE) % (_TILE - self.side)
        return _noise_tile()[top : top + self.side, left : left + self.side]

    def _develop(self) -> np.ndarray:
        p, v = self.person, self.view
        color = cv2.resize(self.canvas, (self.side,) * 2, interpolation=cv2.INTER_AREA).astype(np.float32)
        head, hair = self._masks()
        bare = head * (1 - hair)
        x, y = self.project.face_grid(self.side)
        light, gloss = self._light(x, y)
        noise = self._patch_of_noise(p.texture)

        if p.beard or p.moustache:
            color = self._bearded(color, bare, x, y)
        blush = np.exp(-(((np.abs(x) - 0.58) / 0.28) ** 2 + ((y - 0.55) / 0.25) ** 2))
        color *= 1 - (bare * 0.09 * blush)[..., None] * np.array([0.0, 1.0, 0.9], np.float32)
        shade = 1 - bare * np.clip(self._folds(), 0, 0.85)
        shade *= 1 + bare * 0.025 * (1 + p.age) * noise
        shade *= 1 + hair * self._strands(x, y)
        edge = cv2.GaussianBlur(hair, (0, 0), max(0.06 * self.unit, 0.5))
        shade *= 1 - 0.4 * bare * edge  # the hair shades the forehead
        cover = np.maximum(head, hair)
        shade *= 1 + cover * (light - 1)
        color = color * shade[..., None] + (bare * 34 * gloss)[..., None]
        color *= v.gain.astype(np.float32)
        color += 1.6 * self._patch_of_noise(v.backdrop)[..., None]
        return np.clip(color + 0.5, 0, 255).astype(np.uint8)

    def _bearded(self, color: np.ndarray, bare: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        p, c = self.person, self.curves
        low = np.clip((y - 0.75 - 0.45 * (1 - np.abs(x) / p.face_width).clip(0, 1) * 0.8) / 0.12, 0, 1)
        mouth = np.exp(-np.maximum((np.abs(x) / (p.mouth_width + 0.16)) ** 6, (np.abs(y - p.mouth_y) / 0.33) ** 6))
        chin = np.clip((y - p.mouth_y - 0.2) / 0.08, 0, 1)
        full = np.maximum(low * (1 - mouth * (1 - chin)), 0) * p.beard
        lip_y, nose_y = p.mouth_y - p.upper_lip, p.nose_length + 0.13
        middle, half = (lip_y + nose_y) / 2, max(0.5 * (lip_y - nose_y), 0.05) + 0.03
        drop = 0.12 * (x / p.mouth_width) ** 2
        above = np.exp(-(((y - middle - drop) / half) ** 2) - (x / (p.mouth_width * 0.9)) ** 4) * p.moustache
        cover = np.maximum(full, above) * bare
        lips = np.zeros((self.side, self.side), np.uint8)
        _fill(lips, _ring(c["lip_top"], c["lip_bottom"]), 255)
        cover *= 1 - cv2.GaussianBlur(lips, (0, 0), 0.6).astype(np.float32) / 255
        cover = np.clip(cover * (0.85 + 0.22 * self._patch_of_noise(p.texture + 977)), 0, 0.95)[..., None]
        grain = 1 + 0.2 * self._patch_of_noise(p.texture + 31)[..., None]
        return color * (1 - cover) + cover * (0.85 * p.hair.astype(np.float32)) * grain
