"""Make the picture behind ``undark demo``: a reading table at night, in linear light.

All models, textures and texts are generated here, so the picture is free to use and reproducible.
Two steps, because Blender's Python has no imagecodecs:

    blender -b -t 2 -P scripts/scene.py -- scene.exr             # 25 minutes on two CPU cores
    python scripts/scene.py scene.exr src/undark/scene/scene.jxl  # half a minute

``--preview`` after the first output renders a quarter of the width in about a minute.
``scripts/README.md`` names the packages and describes the file.

Lengths are metres: x to the right, y away from the camera, z up, and the table top is z = 0.
Light is linear Rec.709, in which 1.0 is diffuse white.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import math
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

try:
    import bpy
except ModuleNotFoundError:  # the encoding step runs outside Blender
    bpy = None

WIDTH, HEIGHT = 2400, 1600
SAMPLES, MINUTES = 160, 25  # limits: samples per pixel, minutes of the render
DISTANCE = 0.15  # JPEG XL distance (1: a difference just visible); 0.15 gives 1.5 MB
BRIGHTEST = 16.0  # linear light that code value 65535 stands for
FONTS = Path("/usr/share/fonts/opentype/ebgaramond")

Point = tuple[float, float, float]
Colour = tuple[float, float, float]
Shape = Callable[[float, float], Point]

REGULAR, ITALIC, BOLD = (f"EBGaramond12-{cut}.otf" for cut in ("Regular", "Italic", "Bold"))

BOOK_LEFT = """\
Light is never still and never smooth. It comes in grains so small that a candle \
across the street sends many thousands of them into the eye every second, and we \
call it a glimmer. Close the shutters, and the grains come one by one. Each is \
whole: nobody has ever seen half a photon.
    When the lamp is bright we do not notice. A page under the noon sun gives back \
so many that one more or one less is lost in the crowd, like one voice in a \
stadium. But let the evening come, and the crowd goes home. Then \
every voice is heard, and the page begins to murmur.
    Count them in the hollow of a pixel. Where nine should fall, six come, or \
eleven, or eight; never by fault, for nothing is broken. Chance is the oldest law \
of light. Its measure is the square root: for a hundred grains, ten go astray; for \
ten thousand, a hundred. The darker the room, the louder the doubt.
"""
BOOK_RIGHT = """\
To see in the dark, then, is to listen well. The owl does it with wide eyes, the \
moth by waiting, and the astronomer by leaving the shutter open until the stars \
have said the same thing a thousand times.
    Whoever has only one short glance must do it by knowing the world: that cloth is \
woven, that wood has grown in rings, that a leaf has veins and a letter has an edge. \
What we have seen by day is the lantern that we carry into the night.
    Yet be honest in it. Do not paint a face where there was only a shadow, nor \
put words on a page that the light has not read to you. Take away the murmur and \
leave the song. What remains uncertain, leave soft, as the dusk leaves the hills.
    And if you are asked how dark is too dark, answer: when nothing came. As long as \
a few grains have crossed the room, something has been said.
"""


class Field:
    """An output of a material's nodes (number, colour or vector); its operators add math nodes."""

    def __init__(self, paint: Paint, socket: Any) -> None:
        self.paint, self.socket = paint, socket

    def math(self, operation: str, *others: float | Field) -> Field:
        settings = {"operation": operation.upper()}
        return self.paint.node("Math", settings=settings, positional=(self, *others))

    def __add__(self, other: float | Field) -> Field:
        return self.math("add", other)

    def __sub__(self, other: float | Field) -> Field:
        return self.math("subtract", other)

    def __mul__(self, other: float | Field) -> Field:
        return self.math("multiply", other)

    def __lt__(self, other: float | Field) -> Field:
        return self.math("less_than", other)

    def sin(self) -> Field:
        return self.math("sine")

    def floor(self) -> Field:
        return self.math("floor")

    def fract(self) -> Field:
        return self.math("fract")

    def abs(self) -> Field:
        return self.math("absolute")


class Paint:
    """Builds a material; every method adds a node and returns its output."""

    def __init__(self, name: str) -> None:
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        self.tree = self.material.node_tree
        self.tree.nodes.clear()

    def node(
        self,
        kind: str,
        output: int = 0,
        settings: dict[str, Any] | None = None,
        positional: Sequence[Any] = (),
        **inputs: Any,
    ) -> Field:
        """Add a node; keyword inputs find sockets by name, positional ones by order."""
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        for key, value in (settings or {}).items():
            setattr(node, key, value)
        for socket, value in zip(node.inputs, positional, strict=False):
            self._feed(socket, value)
        by_name = {socket.name.lower(): socket for socket in reversed(node.inputs)}
        for key, value in inputs.items():
            self._feed(by_name[key.replace("_", " ")], value)
        return Field(self, node.outputs[output])

    def _feed(self, socket: Any, value: Any) -> None:
        if isinstance(value, Field):
            self.tree.links.new(value.socket, socket)
        elif isinstance(value, tuple) and socket.type == "RGBA":
            socket.default_value = (*value, 1.0)
        else:
            socket.default_value = value

    def place(self, space: str = "Object", scale: Point = (1, 1, 1)) -> Field:
        """Position on the surface, in metres ("Object") or in 0..1 ("UV")."""
        output = ["Generated", "Normal", "UV", "Object"].index(space)
        return self.node("Mapping", vector=self.node("TexCoord", output), scale=scale)

    def split(self, vector: Field) -> list[Field]:
        source = self.node("SeparateXYZ", vector=vector).socket.node
        return [Field(self, socket) for socket in source.outputs]

    def noise(self, at: Field, scale: float, detail: float = 4, distortion: float = 0) -> Field:
        return self.node("TexNoise", vector=at, scale=scale, detail=detail, distortion=distortion)

    def ramp(self, at: Field, *stops: tuple[float, Colour]) -> Field:
        """Colours by position; the stops are (position, linear colour)."""
        field = self.node("ValToRGB", fac=at)
        elements = field.socket.node.color_ramp.elements
        while len(elements) < len(stops):
            elements.new(1.0)
        for element, (position, colour) in zip(elements, stops, strict=True):
            element.position, element.color = position, (*colour, 1.0)
        return field

    def mix(self, share: float | Field, first: Any, second: Any, how: str = "MIX") -> Field:
        return self.node(
            "MixRGB", settings={"blend_type": how}, fac=share, color1=first, color2=second
        )

    def bump(self, height: Field, depth: float) -> Field:
        """Surface relief; ``depth`` in metres is the depth of a height of 1."""
        return self.node("Bump", height=height, distance=depth, strength=1.0)

    def random(self) -> Field:
        """A number in 0..1 that differs between objects sharing the material."""
        return self.node("ObjectInfo", output=5)

    def surface(self, **inputs: Any) -> Field:
        return self.node("BsdfPrincipled", **inputs)

    def blend(self, share: float | Field, first: Field, second: Field) -> Field:
        return self.node("MixShader", positional=(share, first, second))

    def done(self, surface: Field) -> Any:
        output = self.tree.nodes.new("ShaderNodeOutputMaterial")
        self.tree.links.new(surface.socket, output.inputs["Surface"])
        return self.material


# --- materials ---------------------------------------------------------------------------------


def tinted(colour: Colour, *by: float, plus: float = 0.0) -> Colour:
    """A colour scaled by one number or three."""
    red, green, blue = by * 3 if len(by) == 1 else by
    scaled = (colour[0] * red + plus, colour[1] * green + plus, colour[2] * blue + plus)
    return min(scaled[0], 1.0), min(scaled[1], 1.0), min(scaled[2], 1.0)


def plain(name: str, colour: Colour, roughness: float = 0.5, **inputs: Any) -> Any:
    """One colour with slightly varying roughness, as real surfaces have."""
    paint = Paint(name)
    grain = paint.noise(paint.place(), 60, 6)
    gloss = grain * 0.3 + (roughness - 0.15)
    return paint.done(paint.surface(base_color=colour, roughness=gloss, **inputs))


def wood(name: str, dark: Colour, light: Colour, gloss: float = 0.4) -> Any:
    """Boards along x: growth rings, long fibres and open pores."""
    paint = Paint(name)
    shift = paint.random() * 37.0
    x, y, z = paint.split(paint.place())
    along = paint.node("CombineXYZ", x=x * 0.9 + shift, y=y * 9.0 + shift, z=z * 9.0)
    fine = paint.node("CombineXYZ", x=x * 14.0 + shift, y=y * 420.0, z=z * 420.0)
    rings = (paint.noise(along, 1.6, 3, 0.6) * 11.0).fract()
    fibres = paint.noise(fine, 1.0, 4)
    pores = paint.node("MapRange", value=fibres, from_min=0.3, from_max=0.44)
    tone = rings * 0.45 + fibres * 0.55
    colour = paint.ramp(tone, (0.1, dark), (0.8, light))
    colour = paint.mix(paint.random() * 0.45, colour, dark)
    colour = paint.mix(0.75, colour, pores, "MULTIPLY")
    worn = paint.noise(paint.place(), 9, 5) * 0.25 + (gloss - 0.12)
    relief = paint.bump(pores + rings * 0.1, 0.0006)
    return paint.done(paint.surface(base_color=colour, roughness=worn, normal=relief))


def weave(
    paint: Paint, threads: tuple[float, float], space: str = "UV"
) -> tuple[Field, Field, Field]:
    """Height of a plain weave, which thread is on top (0 warp, 1 weft), and each thread's own tone.

    ``threads`` counts the threads along u and v.
    """
    u, v, _ = paint.split(paint.place(space, (*threads, 1)))
    wander = paint.noise(paint.place(space, (*threads, 1)), 0.35, 2) * 0.5
    u, v = u + wander, v + wander
    round_u = (u * math.pi).sin().abs()
    round_v = (v * math.pi).sin().abs()
    on_top = ((u.floor() + v.floor()) * 0.5).fract() * 2.0
    warp = round_u * (round_v * 0.5 + 0.5)
    weft = round_v * (round_u * 0.5 + 0.5)
    height = warp + (weft - warp) * on_top
    index = u.floor() + (v.floor() - u.floor()) * on_top + on_top * 311.0
    tone = paint.node("TexWhiteNoise", settings={"noise_dimensions": "1D"}, w=index)
    return height, on_top, tone


def cloth(name: str, colours: Callable[[Paint, Field], Any], threads: tuple[float, float]) -> Any:
    """Woven cloth: threads with gaps between them, uneven yarn, fine hair and a soft sheen."""
    paint = Paint(name)
    height, on_top, tone = weave(paint, threads)
    fuzz = paint.noise(paint.place(), 2500, 3)
    colour = colours(paint, on_top)
    shade = paint.ramp(height * 0.8 + tone * 0.25, (0.15, (0.2,) * 3), (0.85, (1.0,) * 3))
    colour = paint.mix(1.0, colour, shade, "MULTIPLY")
    relief = paint.bump(height + fuzz * 0.25, 0.0009)
    look = paint.surface(base_color=colour, roughness=0.9, specular=0.15, sheen=0.4, normal=relief)
    through = paint.node("BsdfTranslucent", color=colour, normal=relief)
    return paint.done(paint.blend(0.15, look, through))


def striped(ground: Colour, stripe: Colour, weft: Colour) -> Callable[[Paint, Field], Field]:
    """Colours of a tea towel: stripes in the warp near both edges, plain weft."""

    def colours(paint: Paint, on_top: Field) -> Field:
        u, v, _ = paint.split(paint.place("UV"))
        edge = (u - 0.5).abs()
        bands = ((edge * 17.0).fract() < 0.5) * (edge.math("greater_than", 0.28))
        ends = (((v - 0.5).abs() * 22.0).fract() < 0.5) * (v - 0.5).abs().math("greater_than", 0.38)
        warp = paint.mix(bands, ground, stripe)
        across = paint.mix(ends, weft, stripe)
        return paint.mix(on_top, warp, across)

    return colours


def one_colour(colour: Colour) -> Callable[[Paint, Field], Field]:
    def colours(paint: Paint, on_top: Field) -> Field:
        return paint.mix(on_top * 0.25, colour, (0.02, 0.02, 0.02))

    return colours


def metal(name: str, colour: Colour, roughness: float, brushed: float = 0.0) -> Any:
    """Polished, or brushed around its axis: ``brushed`` is the depth of the scratches, 0..1."""
    paint = Paint(name)
    at = paint.place("UV", (3.0, 900.0, 1.0))
    scratches = paint.noise(at, 1.0, 5)
    stains = paint.noise(paint.place(), 22, 6)
    gloss = stains * 0.22 + scratches * (0.35 * brushed) + (roughness - 0.1)
    tarnish = paint.mix(stains * 0.35, colour, tinted(colour, 0.55))
    relief = paint.bump(scratches, 0.00012 * brushed + 0.000001)
    return paint.done(
        paint.surface(
            base_color=tarnish,
            metallic=1.0,
            roughness=gloss,
            anisotropic=0.7 * brushed,
            normal=relief,
        )
    )


def hammered(name: str, colour: Colour) -> Any:
    """Copper beaten with a round hammer, polished on the crests and dull in the dips."""
    paint = Paint(name)
    dents = paint.node("TexVoronoi", vector=paint.place(), scale=76.0)
    stains = paint.noise(paint.place(), 14, 6)
    tone = paint.mix(stains * 0.7, colour, tinted(colour, *colour))
    gloss = stains * 0.25 + 0.1
    relief = paint.bump(dents * dents, 0.004)
    return paint.done(paint.surface(base_color=tone, metallic=1.0, roughness=gloss, normal=relief))


def glass(name: str, tint: Colour, ior: float = 1.46) -> Any:
    """Clear glass that lets lamp light pass straight, so that no caustics need to be traced."""
    paint = Paint(name)
    clear = paint.node("BsdfGlass", color=tint, roughness=0.0, ior=ior)
    ghost = paint.node("BsdfTransparent", color=tinted(tint, 0.93))
    is_shadow = paint.node("LightPath", output=1)
    return paint.done(paint.blend(is_shadow, clear, ghost))


def paper(name: str, colour: Colour = (0.74, 0.69, 0.58)) -> Any:
    """Uncoated paper: fibres, foxing, a trace of light from behind."""
    paint = Paint(name)
    fibres = paint.noise(paint.place("Object", (900, 900, 900)), 1.0, 4)
    foxing = paint.noise(paint.place(), 18, 8)
    tone = paint.ramp(foxing, (0.3, tinted(colour, 0.86)), (0.6, colour))
    tone = paint.mix(0.16, tone, fibres, "OVERLAY")
    relief = paint.bump(fibres, 0.00012)
    look = paint.surface(base_color=tone, roughness=0.85, specular=0.2, normal=relief)
    return paint.done(paint.blend(0.12, look, paint.node("BsdfTranslucent", color=tone)))


def page_edges(name: str) -> Any:
    """The cut side of a book: hundreds of sheets."""
    paint = Paint(name)
    cuts = paint.noise(paint.place("Object", (4, 4, 2600)), 1.0, 3)
    tone = paint.ramp(cuts, (0.3, (0.24, 0.19, 0.12)), (0.62, (0.66, 0.58, 0.44)))
    return paint.done(
        paint.surface(base_color=tone, roughness=0.9, normal=paint.bump(cuts, 0.0006))
    )


def book_cloth(name: str, colour: Colour) -> Any:
    """Bookbinder's cloth: a fine weave, rubbed pale in places."""
    paint = Paint(name)
    x, y, z = paint.split(paint.place("Object", (3600, 3600, 3600)))
    threads = (x + y * 0.3).sin() * 0.5 + z.sin() * 0.5
    rubbed = paint.noise(paint.place(), 30, 8)
    pale = tinted(colour, 0.5, plus=0.12)
    tone = paint.ramp(rubbed, (0.35, tinted(colour, 0.8)), (0.56, colour), (0.78, pale))
    relief = paint.bump(threads + rubbed, 0.0004)
    return paint.done(
        paint.surface(base_color=tone, roughness=0.75, specular=0.25, sheen=0.2, normal=relief)
    )


def skin(name: str, tone: Colour) -> Any:
    """Wax in a skin tone: red light wanders further under the surface than blue."""
    paint = Paint(name)
    mottle = paint.noise(paint.place(), 120, 5)
    colour = paint.mix(mottle, tone, tinted(tone, 1.05, 0.8, 0.75))
    return paint.done(
        paint.surface(
            base_color=colour,
            subsurface=0.35,
            subsurface_radius=(0.006, 0.0025, 0.0015),
            subsurface_color=tinted(tone, 1.05, 0.72, 0.6),
            roughness=0.42,
            specular=0.4,
            normal=paint.bump(paint.noise(paint.place(), 900, 3), 0.0003),
        )
    )


def glaze(name: str, colour: Colour, speckle: Colour) -> Any:
    """Stoneware glaze: speckles of iron, pooled colour, a wet gloss."""
    paint = Paint(name)
    spots = paint.noise(paint.place(), 380, 2)
    pool = paint.noise(paint.place(), 12, 4)
    tone = paint.mix(pool * 0.5, colour, tinted(colour, 0.7))
    tone = paint.mix(spots.math("greater_than", 0.66), tone, speckle)
    relief = paint.bump(pool, 0.001)
    return paint.done(paint.surface(base_color=tone, roughness=0.16, clearcoat=0.6, normal=relief))


def leaf(name: str, dark: Colour, light: Colour) -> Any:
    """A leaf, veined along its u (across) and v (base to tip), with light shining through."""
    paint = Paint(name)
    u, v, _ = paint.split(paint.place("UV"))
    across = (u - 0.5).abs()
    midrib = across < 0.022
    side = ((v - across * 0.55) * 9.0).fract() < 0.07
    veins = midrib.math("maximum", side)
    cells = paint.node("TexVoronoi", vector=paint.place("UV", (26, 60, 1)), scale=1.0)
    age = paint.random()
    tone = paint.mix(age, dark, light)
    tone = paint.mix(cells * 0.3, tone, tinted(dark, 0.4))
    tone = paint.mix(veins * 0.6, tone, tinted(light, 1.9, plus=0.03))
    relief = paint.bump(veins * -0.8 + cells * 0.4, 0.0008)
    look = paint.surface(base_color=tone, roughness=0.36, specular=0.45, normal=relief)
    lit = paint.node("BsdfTranslucent", color=paint.mix(0.5, tone, (0.25, 0.42, 0.04)))
    return paint.done(paint.blend(0.3, look, lit))


def wallpaper(name: str, ground: Colour, figure: Colour) -> Any:
    """Printed paper: rows of six-petalled flowers with dots between them, on textured stock."""
    paint = Paint(name)
    x, _, z = paint.split(paint.place("Object", (22, 1, 22)))
    row = z.floor()
    cx = (x + (row * 0.5).fract()).fract() - 0.5
    cz = z.fract() - 0.5
    radius = (cx * cx + cz * cz).math("sqrt")
    petals = (cz.math("arctan2", cx) * 3.0).sin().abs() * 0.2 + 0.1
    flower = (radius < petals) * radius.math("greater_than", 0.055)
    dot = ((cx.abs() - 0.5) * (cx.abs() - 0.5) + cz * cz) < 0.003
    wear = paint.noise(paint.place(), 5, 8)
    print_ = flower.math("maximum", dot) * (wear * 0.7 + 0.25)
    grain = paint.noise(paint.place(), 700, 4)
    tone = paint.mix(wear * 0.5, ground, tinted(ground, 0.7))
    tone = paint.mix(print_, tone, figure)
    relief = paint.bump(grain + wear, 0.0008)
    return paint.done(paint.surface(base_color=tone, roughness=0.7, specular=0.3, normal=relief))


def clay(name: str, colour: Colour) -> Any:
    """Unglazed terracotta with lime bloom and turning marks."""
    paint = Paint(name)
    bloom = paint.noise(paint.place(), 26, 9)
    turning = paint.noise(paint.place("Object", (6, 6, 500)), 1.0, 3)
    tone = paint.ramp(bloom, (0.42, colour), (0.7, (0.52, 0.42, 0.35)))
    relief = paint.bump(turning + bloom * 0.5, 0.0009)
    return paint.done(paint.surface(base_color=tone, roughness=0.92, specular=0.2, normal=relief))


def soil(name: str) -> Any:
    paint = Paint(name)
    lumps = paint.noise(paint.place(), 160, 8)
    tone = paint.ramp(lumps, (0.35, (0.01, 0.006, 0.004)), (0.7, (0.09, 0.055, 0.035)))
    return paint.done(paint.surface(base_color=tone, roughness=1.0, normal=paint.bump(lumps, 0.01)))


def shining(name: str, colour: Colour | Field, strength: float, paint: Paint | None = None) -> Any:
    """A bright visible surface that does not illuminate others; ``light_scene`` has the lights."""
    paint = paint or Paint(name)
    material = paint.done(paint.node("Emission", color=colour, strength=strength))
    material.cycles.sample_as_light = False  # else half of all samples would be of the night sky
    return material


def lampshade(name: str) -> Any:
    """Linen lit from within: brightest level with the bulb, every thread drawn by the light."""
    paint = Paint(name)
    height, _, tone = weave(paint, (420, 130))
    u, v, _ = paint.split(paint.place("UV"))
    glow = ((v - 0.42) * (v - 0.42) * -20.0).math("exponent") * 6.5 + 1.7
    seam = (u - 0.78).abs() < 0.004
    thread = (height * 0.35 + tone * 0.3 + 0.45) * (seam * -0.3 + 1.0)
    lit = paint.node("Emission", color=(1.0, 0.80, 0.56), strength=glow * thread)
    cloth_ = paint.node("BsdfDiffuse", color=(0.7, 0.66, 0.58))
    return paint.done(paint.node("AddShader", positional=(lit, cloth_)))


# --- shapes ------------------------------------------------------------------------------------


def keep(mesh: Any, material: Any, smooth: bool = True) -> Any:
    """Put a mesh into the scene."""
    mesh.materials.clear()
    mesh.materials.append(material)
    for polygon in mesh.polygons:
        polygon.use_smooth = smooth
    thing = bpy.data.objects.new("thing", mesh)
    bpy.context.collection.objects.link(thing)
    return thing


def sheet(material: Any, shape: Shape, steps: tuple[int, int], closed: bool = False) -> Any:
    """A surface over u, v in 0..1; ``closed`` joins u = 1 to u = 0."""
    across, along = steps
    columns = across if closed else across + 1
    points = [shape(i / across, j / along) for j in range(along + 1) for i in range(columns)]
    corners = [(i, j) for j in range(along) for i in range(across)]
    square = ((0, 0), (1, 0), (1, 1), (0, 1))
    faces = [[(i + di) % columns + (j + dj) * columns for di, dj in square] for i, j in corners]
    mesh = bpy.data.meshes.new("thing")
    mesh.from_pydata(points, [], faces)
    places = [((i + di) / across, (j + dj) / along) for i, j in corners for di, dj in square]
    layer = mesh.uv_layers.new()
    layer.data.foreach_set("uv", [value for place in places for value in place])
    return keep(mesh, material)


def smooth_line(points: Sequence[Sequence[float]], steps: int = 8) -> list[tuple[float, ...]]:
    """A Catmull-Rom curve through the points; write a point twice for a corner."""
    padded = [points[0], *points, points[-1]]
    line = []
    for p0, p1, p2, p3 in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for step in range(steps):
            t = step / steps
            line.append(
                tuple(
                    0.5
                    * (
                        2 * b
                        + (c - a) * t
                        + (2 * a - 5 * b + 4 * c - d) * t**2
                        + (3 * b - a - 3 * c + d) * t**3
                    )
                    for a, b, c, d in zip(p0, p1, p2, p3, strict=True)
                )
            )
    return [*line, tuple(points[-1])]


def mm(points: str) -> list[Any]:
    """Points written in millimetres: ``"0,0  16.5,4"`` is ``[(0, 0), (0.0165, 0.004)]``."""
    return [tuple(float(n) / 1000 for n in point.split(",")) for point in points.split()]


def turned(material: Any, profile: Sequence[tuple[float, float]], sides: int = 96) -> Any:
    """A turned body: the profile is (radius, height), from the bottom up along the outside."""
    line = smooth_line(profile)

    def shape(u: float, v: float) -> Point:
        radius, z = line[round(v * (len(line) - 1))]
        radius = max(radius, 1e-5)
        return radius * math.cos(math.tau * u), radius * math.sin(math.tau * u), z

    return sheet(material, shape, (sides, len(line) - 1), closed=True)


def tube(material: Any, points: Sequence[Point], radii: Sequence[float] | float) -> Any:
    """A round bar along a smooth line, as thick as ``radii`` says at each point."""
    if isinstance(radii, float):
        radii = [radii] * len(points)
    line = smooth_line([(*p, r) for p, r in zip(points, radii, strict=True)], 10)
    curve = bpy.data.curves.new("bar", "CURVE")
    curve.dimensions, curve.bevel_depth, curve.bevel_resolution = "3D", 1.0, 5
    curve.use_fill_caps = True
    spline = curve.splines.new("POLY")
    spline.points.add(len(line) - 1)
    for knot, (x, y, z, radius) in zip(spline.points, line, strict=True):
        knot.co, knot.radius = (x, y, z, 1.0), radius
    mesh = bpy.data.meshes.new_from_object(bpy.data.objects.new("line", curve))
    return keep(mesh, material)


def box(material: Any, size: Point, at: Point, bevel: float = 0.002) -> Any:
    """A block with softened edges, ``at`` its centre."""
    x, y, z = (s / 2 for s in size)
    points = [(i * x, j * y, k * z) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]
    faces = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh = bpy.data.meshes.new("thing")
    mesh.from_pydata(points, [], faces)
    thing = keep(mesh, material, smooth=False)
    thing.location = at
    edge = thing.modifiers.new("edge", "BEVEL")
    edge.width, edge.segments = bevel, 3
    return thing


def turn(things: Sequence[Any], at: Point, angles: Point = (0, 0, 0)) -> None:
    """Move things as one: they were modelled around the origin. Angles in degrees."""
    handle = bpy.data.objects.new("handle", None)
    bpy.context.collection.objects.link(handle)
    for thing in things:
        thing.parent = handle
    handle.location = at
    handle.rotation_euler = [math.radians(angle) for angle in angles]


def letters(
    text: str,
    ink: Any,
    size: float,
    font: str,
    onto: Shape,
    align: str = "CENTER",
    block: tuple[float, float] = (0.0, 0.0),
    leading: float = 1.0,
) -> Any:
    """Set type in the x, y plane; ``onto`` then lays each point on a surface.

    ``block`` is the width and height of the type area; text beyond it is cut off.
    """
    curve = bpy.data.curves.new("type", "FONT")
    curve.body, curve.size, curve.align_x = text, size, align
    curve.font = bpy.data.fonts.load(str(FONTS / font), check_existing=True)
    curve.space_line, curve.resolution_u = leading, 2
    curve.text_boxes[0].width, curve.text_boxes[0].height = block
    if block[1]:
        curve.overflow = "TRUNCATE"
    mesh = bpy.data.meshes.new_from_object(bpy.data.objects.new("line", curve))
    for vertex in mesh.vertices:
        vertex.co = onto(vertex.co.x, vertex.co.y)
    return keep(mesh, ink, smooth=False)


def laid(x0: float, y0: float, surface: Shape) -> Shape:
    """Moves what is drawn around the origin to (x0, y0) of a surface."""
    return lambda x, y: surface(x + x0, y + y0)


def circle(radius: float, at: Point, steps: int = 24, upright: bool = False) -> list[Point]:
    """Points around a circle that lies flat, or stands facing the viewer."""
    points = []
    for step in range(steps + 1):
        a, b = (radius * f(math.tau * step / steps) for f in (math.cos, math.sin))
        points.append((at[0] + a, at[1] + (0 if upright else b), at[2] + (b if upright else 0)))
    return points


def unseen_by(thing: Any, *rays: str) -> None:
    for ray in rays:
        setattr(thing, f"visible_{ray}", False)


# --- the things on the table ---------------------------------------------------------------------


def build_room() -> None:
    paper_ = wallpaper("wallpaper", (0.055, 0.1, 0.098), (0.2, 0.22, 0.15))
    white = plain("window paint", (0.62, 0.6, 0.56), 0.4)
    # Four pieces of wall around the window.
    box(paper_, (2.4, 0.1, 3.0), (0.98, 0.67, 0.5))
    box(paper_, (1.0, 0.1, 3.0), (-1.28, 0.67, 0.5))
    box(paper_, (0.56, 0.1, 1.06), (-0.5, 0.67, -0.47))
    box(white, (0.64, 0.16, 0.025), (-0.5, 0.63, 0.07), 0.005)
    for x in (-0.77, -0.5, -0.23):
        box(white, (0.032, 0.04, 1.2), (x, 0.66, 0.66), 0.006)
    for z in (0.1, 0.40, 0.72):
        box(white, (0.56, 0.036, 0.028), (-0.5, 0.66, z), 0.006)
    boards = wood("oak", (0.055, 0.024, 0.011), (0.26, 0.135, 0.062))
    for number in range(7):
        y = -0.62 + 0.17 * number
        box(boards, (2.6, 0.168, 0.04), (0.03 * (number % 3), y, -0.02), 0.0025)


def build_night() -> None:
    """Outside: a dusk sky and the lights of a town, far out of focus."""
    paint = Paint("dusk")
    _, _, up = paint.split(paint.place())
    sky = paint.ramp(
        up * 0.3 + 0.45,
        (0.1, (0.075, 0.066, 0.08)),
        (0.34, (0.04, 0.06, 0.115)),
        (0.62, (0.016, 0.034, 0.09)),
        (0.95, (0.006, 0.014, 0.05)),
    )
    box(shining("dusk", sky, 1.0, paint), (14, 0.1, 8), (-4, 6.0, 1), 0)
    dice = random.Random(8)
    roofs = shining("roofs", (0.011, 0.014, 0.024), 1.0)
    for number in range(9):
        x, top = -3.4 + 0.3 * number, dice.uniform(-0.35, 0.3)
        box(roofs, (dice.uniform(0.25, 0.45), 0.1, 6), (x, 5.4, top - 3), 0)
    lamps = [
        shining("street", (1.0, 0.55, 0.2), 9.0),
        shining("window far", (1.0, 0.78, 0.45), 4.0),
        shining("window near", (1.0, 0.9, 0.7), 2.0),
        shining("signal", (0.3, 0.9, 0.65), 5.0),
    ]
    for _ in range(60):
        x, z, size = dice.uniform(-2.9, -1.0), dice.gauss(-0.3, 0.28), dice.uniform(0.3, 1.0)
        dot = turned(dice.choice(lamps), mm("0,-16  16,0  0,16"), 12)
        dot.location, dot.scale = (x, 4.6, z), (size,) * 3
        unseen_by(dot, "diffuse", "glossy", "shadow")


def build_curtain() -> None:
    linen = cloth("curtain", one_colour((0.30, 0.33, 0.36)), (150, 420))

    def folds(left: float, width: float) -> Shape:
        def shape(u: float, v: float) -> Point:
            sway = 0.012 * math.sin(3 * v + 5 * u)
            depth = 0.026 * math.sin(26 * u + 1.3 * math.sin(2.2 * v)) + 0.01 * math.sin(61 * u + v)
            return left + width * u + sway, 0.575 + depth, -0.1 + 1.1 * v

        return shape

    sheet(linen, folds(-0.29, 0.2), (240, 60))
    sheet(linen, folds(-0.95, 0.19), (240, 60))


def build_lamp(at: Point) -> None:
    foot = mm(
        "0,0  78,0  78,0  80,8  72,14  50,22  24,34  14,50  12,70  22,82  22,88  12,100  "
        "16,130  26,165  30,190  24,215  11,235  9,250  18,258  18,264  8,270  8,340  0,340"
    )
    body = turned(metal("polished brass", (0.78, 0.52, 0.2), 0.14), foot)

    def cone(u: float, v: float) -> Point:
        radius = 0.158 - 0.062 * v
        return radius * math.cos(math.tau * u), radius * math.sin(math.tau * u), 0.305 + 0.19 * v

    shade = sheet(lampshade("lit linen"), cone, (128, 12), closed=True)
    trim = plain("shade trim", (0.3, 0.2, 0.1), 0.6)
    rings = [
        tube(trim, circle(radius, (0, 0, z), 16), 0.0022)
        for radius, z in ((0.158, 0.305), (0.096, 0.495))
    ]
    filament = shining("filament", (1.0, 0.86, 0.62), 15.0)
    bulb = turned(filament, mm("0,335  13,340  16,360  30,390  30,410  0,435"))
    unseen_by(bulb, "diffuse", "glossy", "shadow")  # the light inside it has these effects
    light = bpy.data.lights.new("lamp", "POINT")
    light.energy, light.color, light.shadow_soft_size = 17.0, (1.0, 0.84, 0.65), 0.028
    source = bpy.data.objects.new("lamp", light)
    bpy.context.collection.objects.link(source)
    source.location = (0, 0, 0.395)
    turn([body, shade, bulb, source, *rings], at)


def page_height(x: float) -> float:
    """Height of the open page above its cover, x metres from the fold."""
    u = abs(x) / 0.17
    return 0.003 + 0.021 * (1 - math.exp(-9 * u)) * (1 - 0.5 * u * u)


def build_open_book(at: Point, angles: Point) -> None:
    wide, tall = 0.17, 0.235
    cover = book_cloth("cover cloth", (0.22, 0.03, 0.03))
    parts = [box(cover, (2 * wide + 0.012, tall + 0.01, 0.004), (0, 0, -0.002), 0.001)]
    for side in (-1, 1):
        parts += half_book(side * wide, tall)
    parts += typeset(lambda x, y: (x, y, page_height(x) + 0.00025))

    def ribbon(u: float, v: float) -> Point:
        x = 0.001 + 0.0065 * u + 0.004 * math.sin(4 * v) * v
        drop = 1 - 0.7 * max(0, v - 0.86) / 0.14
        return x, 0.12 - 0.27 * v, page_height(0.02) * drop + 0.0015

    parts.append(sheet(plain("silk", (0.03, 0.06, 0.16), 0.35, sheen=0.5), ribbon, (4, 60)))
    turn(parts, at, angles)


def half_book(wide: float, tall: float) -> list[Any]:
    """The pages on one side of the fold (``wide`` < 0: the left), with their cut edges."""
    side, edges = math.copysign(1, wide), page_edges("edges")

    def page(u: float, v: float) -> Point:
        return wide * u, tall * (v - 0.5) * side, page_height(wide * u)

    def fore(u: float, v: float) -> Point:
        return wide + side * 0.002 * (1 - v), tall * (u - 0.5) * side, page_height(wide) * v

    def head(u: float, v: float) -> Point:
        return wide * u, tall / 2, page_height(wide * u) * v

    def tail(u: float, v: float) -> Point:
        return wide * u, -tall / 2, page_height(wide * u) * v

    cuts = [sheet(edges, shape, (40, 6)) for shape in (fore, head, tail)]
    return [sheet(paper("page"), page, (60, 8)), *cuts]


def typeset(page: Shape) -> list[Any]:
    """Both pages: running heads, a chapter title, the text, page numbers."""
    ink, red = plain("ink", (0.016, 0.014, 0.013), 0.6), plain("red ink", (0.26, 0.028, 0.018), 0.6)
    lines = [
        ("THE LANTERN AND THE OWL", ink, 0.0052, REGULAR, -0.088, 0.1035),
        ("OF SEEING IN THE DARK", ink, 0.0052, REGULAR, 0.087, 0.1035),
        ("Grains of Light", red, 0.0165, BOLD, -0.088, 0.082),
        ("in which a page begins to murmur", ink, 0.0085, ITALIC, -0.088, 0.070),
        ("42", ink, 0.0062, REGULAR, -0.088, -0.111),
        ("43", ink, 0.0062, REGULAR, 0.087, -0.111),
    ]
    texts = [(BOOK_LEFT, 0.166, -0.155, 0.056), (BOOK_RIGHT, 0.2, 0.025, 0.091)]
    parts = [
        letters(text, colour, size, font, laid(x, y, page))
        for text, colour, size, font, x, y in lines
    ]
    return parts + [
        letters(text, ink, 0.0091, REGULAR, laid(x, y, page), "JUSTIFY", (0.133, tall), 0.92)
        for text, tall, x, y in texts
    ]


def build_newspaper(at: Point, angles: Point) -> None:
    """A folded evening paper: a masthead, a headline and three columns of small type."""
    stock = paper("newsprint", (0.52, 0.49, 0.43))
    ink = plain("news ink", (0.03, 0.03, 0.032), 0.7)

    def height(x: float, y: float) -> float:
        return 0.0035 + 0.0015 * math.sin(17 * x + 9 * y) + 0.001 * math.sin(31 * y - 12 * x)

    def leaf_of_paper(wide: float, drop: float) -> Shape:
        def shape(u: float, v: float) -> Point:
            x, y = (u - 0.5) * wide, (v - 0.5) * 0.4
            return x, y - drop, height(x, y) - drop

        return shape

    def front(x: float, y: float) -> Point:
        return x, y, height(x, y) + 0.0002

    def rule(y: float) -> Shape:
        return lambda u, v: front((u - 0.5) * 0.276, y + v * 0.0006)

    leaves = [(0.3, 0.0), (0.302, 0.0012), (0.299, 0.0022)]
    parts = [sheet(stock, leaf_of_paper(*size), (50, 60)) for size in leaves]
    parts += [sheet(ink, rule(y), (40, 1)) for y in (0.160, 0.1475)]
    date = "     ·     ".join(["LATE EDITION", "FIVE LUX AND FALLING", "PRICE ONE PHOTON"])
    headline = "DARKNESS ARRIVES\nON TIME, AGAIN"
    parts += [
        letters("The Night Observer", ink, 0.031, BOLD, laid(0, 0.165, front)),
        letters(date, ink, 0.0062, REGULAR, laid(0, 0.152, front)),
        letters(headline, ink, 0.0225, BOLD, laid(0, 0.124, front), leading=0.85),
    ]
    story = (BOOK_RIGHT + BOOK_LEFT).replace("    ", "  ") * 2
    for column in range(3):
        text = story[column * 700 :].split(" ", 1)[1]
        place = laid(-0.138 + 0.0945 * column, 0.088, front)
        parts.append(letters(text, ink, 0.0056, REGULAR, place, "JUSTIFY", (0.087, 0.27), 0.9))
    turn(parts, at, angles)


def closed_book(size: Point, colour: Colour, title: str, author: str, gold: Any) -> list[Any]:
    """A book lying flat, spine towards the viewer; size: along the spine, deep, thick."""
    length, depth, height = size
    bound, board = book_cloth(f"binding {title}", colour), 0.003
    inside = (length - 0.008, depth - 0.006, height - 2 * board)

    def back(x: float, z: float, gap: float = 0.0003) -> Point:
        bow = 0.006 * math.sin(math.pi * min(max(z / height, 0), 1)) ** 0.6
        return x, -depth / 2 - bow - 0.0005 - gap, z

    def spine(u: float, v: float) -> Point:
        return back(length * (u - 0.5), v * height, 0)

    def band(end: float) -> Shape:
        return lambda u, v: back(length * end + 0.0012 * u, 0.001 + v * (height - 0.002))

    big = min(0.62 * height, length / len(title))
    at_title = laid(-0.44 * length, height / 2 - 0.32 * big, back)
    at_author = laid(0.45 * length, 0.42 * height, back)
    return [
        box(bound, (length, depth, board), (0, 0, board / 2), 0.001),
        box(bound, (length, depth, board), (0, 0, height - board / 2), 0.001),
        box(page_edges("book edges"), inside, (0, 0, height / 2), 0.0005),
        sheet(bound, spine, (8, 24)),
        letters(title, gold, big, BOLD, at_title, "LEFT"),
        letters(author, gold, 0.3 * height, ITALIC, at_author, "RIGHT"),
        *[sheet(gold, band(end), (1, 20)) for end in (-0.475, -0.465, 0.465, 0.475)],
    ]


def build_books() -> None:
    gold = metal("gold leaf", (0.83, 0.6, 0.25), 0.32)
    pile = [
        ((0.30, 0.19, 0.038), (0.035, 0.075, 0.05), "A HISTORY OF SHADOWS", "R. Umbra", 2),
        ((0.27, 0.18, 0.030), (0.23, 0.05, 0.028), "COUNTING PHOTONS", "N. Poisson", -4),
        ((0.25, 0.17, 0.026), (0.028, 0.05, 0.11), "NOCTURNES & NIGHT SKIES", "L. Vesper", 3),
    ]
    z = 0.0
    for size, colour, title, author, angle in pile:
        turn(closed_book(size, colour, title, author, gold), (-0.035, 0.27, z), (0, 0, angle))
        z += size[2] + 0.0006
    row = [
        ((0.25, 0.17, 0.042), (0.16, 0.11, 0.04), "OPTICKS FOR OWLS", "I. Strix"),
        ((0.22, 0.15, 0.026), (0.22, 0.06, 0.03), "THE LAST CANDLE", "A. Wick"),
        ((0.24, 0.16, 0.034), (0.04, 0.08, 0.085), "DARK ROOMS", "C. Obscura"),
        ((0.21, 0.15, 0.024), (0.25, 0.19, 0.1), "ON LINEN", "W. Weft"),
        ((0.235, 0.16, 0.036), (0.06, 0.03, 0.06), "MOON GARDENS", "S. Lune"),
        ((0.26, 0.17, 0.03), (0.03, 0.05, 0.1), "QUIET SENSORS", "E. Lectron"),
    ]
    x = 0.455
    for number, (size, colour, title, author) in enumerate(row):
        lean = -8 if number == 0 else 0
        # Standing on its tail: the length becomes height, the title reads downwards.
        turn(
            closed_book(size, colour, title, author, gold),
            (x + size[2] / 2, 0.44 - 0.008 * (number % 3), size[0] / 2 + 0.001),
            (0, 90 + lean, 0),
        )
        x += size[2] + 0.002


def build_doll(at: Point, tone: Colour, dress: Colour, tall: float, gaze: float) -> None:
    """A turned peg doll: waxed head in a skin tone, glazed coat, painted hair and eyes."""
    ink = plain("eye", (0.012, 0.01, 0.01), 0.25)
    coat = glaze("coat", dress, tinted(dress, 0.3))
    body = turned(coat, mm("0,0  16.5,0  16.5,0  17.8,4  17.2,20  13.5,34  7.5,39.5  0,40"))
    face = mm("0,36  7,37.5  12.5,44  13.8,51  11.8,59.5  6,64.5  0,65.5")
    head = turned(skin("skin", tone), face)
    locks = plain("hair", tinted(dress, 0.08, plus=0.01), 0.5)
    hair = turned(locks, mm("14.6,53.5  14.4,57  12.2,61.2  6.8,65.8  0,66.8"))
    hair.rotation_euler = (math.radians(-14), 0, 0)
    hair.location = (0, -0.0126, 0.0015)  # tilted about the middle of the head
    eyes = [turned(ink, mm("0,-1.3  1.3,0  0,1.3"), 16) for _ in range(2)]
    eyes[0].location, eyes[1].location = (-0.0046, -0.0129, 0.0515), (0.0046, -0.0129, 0.0515)
    turn([body, head, hair, *eyes], at, (0, 0, gaze))
    body.parent.scale = (tall,) * 3


def build_dolls() -> None:
    family = [
        ((0.76, 0.52, 0.40), (0.07, 0.16, 0.22), 1.14),
        ((0.58, 0.34, 0.22), (0.42, 0.25, 0.05), 1.344),
        ((0.38, 0.19, 0.105), (0.13, 0.2, 0.09), 1.02),
        ((0.20, 0.09, 0.047), (0.4, 0.1, 0.06), 1.416),
        ((0.085, 0.037, 0.021), (0.5, 0.44, 0.33), 1.2),
    ]
    for number, (tone, dress, tall) in enumerate(family):
        at = (-0.135 + 0.051 * number, 0.235 + 0.008 * (number % 2), 0.0962)
        build_doll(at, tone, dress, tall, gaze=9 * (2 - number))


PATCHES = (  # reflectance in thousandths; the last row is the grey scale
    "170,80,50  540,300,220  110,190,330  100,150,50  230,210,420  130,500,400  "
    "680,200,20  60,100,380  530,90,120  100,40,140  330,500,50  750,360,20  "
    "20,40,300  60,290,60  430,30,40  800,570,10  490,80,290  0,230,370  "
    "880,880,850  580,580,570  360,360,360  190,190,190  90,90,90  31,31,32  "
)


def build_colour_card(at: Point, angles: Point) -> None:
    black, white = plain("card", (0.02,) * 3, 0.7), plain("card print", (0.6, 0.6, 0.58), 0.6)
    parts = [box(black, (0.14, 0.096, 0.002), (0, 0, 0), 0.0005)]
    for number, colour in enumerate(mm(PATCHES)):
        x, y = -0.0575 + 0.023 * (number % 6), 0.0355 - 0.0205 * (number // 6)
        tile = plain("patch", colour, 0.75, specular=0.2)
        parts.append(box(tile, (0.0195, 0.0172, 0.0012), (x, y, 0.0009), 0.0003))
    note = "undark  ·  24 reflectances, one of them yours"
    parts.append(letters(note, white, 0.0062, REGULAR, lambda x, y: (x, y - 0.0455, 0.0012)))
    turn(parts, at, angles)


def build_kettle(at: Point) -> None:
    copper = hammered("copper", (0.83, 0.38, 0.23))
    brass = metal("brushed brass", (0.7, 0.5, 0.22), 0.3, 1.0)
    steel = metal("brushed steel", (0.56, 0.55, 0.53), 0.28, 1.0)
    walnut = wood("walnut", (0.03, 0.013, 0.007), (0.12, 0.06, 0.03), 0.3)
    lid = mm(
        "45,121  49,122  49,128  46,130  46,130  40,137  20,145  6,148  5,153  "
        "10.5,160  10.5,166  6,171  0,172"
    )
    spout = mm("-75,0,45  -105,0,58  -126,0,85  -143,0,118  -158,0,128")
    arch = mm("-66,0,108  -69,0,150  -50,0,197  0,0,212  50,0,197  69,0,150  66,0,108")
    grip = mm("-42,0,202  -20,0,211  0,0,213.5  20,0,211  42,0,202")
    parts = [
        turned(copper, mm("0,0  78,0  78,0  88,8  97,35  93,70  72,105  46,122  43,124"), 128),
        turned(brass, lid),
        tube(copper, spout, [0.026, 0.02, 0.0135, 0.0105, 0.0098]),
        tube(steel, arch, 0.0048),
        tube(walnut, grip, [0.007, 0.0105, 0.0112, 0.0105, 0.007]),
    ]
    turn(parts, at, (0, 0, 28))


def height_at(x: float, y: float) -> float:
    """Height of the topmost object at a position on the table."""
    graph = bpy.context.evaluated_depsgraph_get()
    _, point, *_ = bpy.context.scene.ray_cast(graph, (x, y, 0.08), (0, 0, -1))
    return float(point[2])


def spoon_outline(v: float) -> tuple[float, float, float]:
    """Along the spoon (0: tip of the bowl): half its width, how much bowl, how much stem."""
    bowl = math.sqrt(max(0.0, 1 - ((v - 0.15) / 0.15) ** 2))
    stem = min(1.0, max(0.0, (v - 0.2) / 0.12))
    handle = 0.004 + 0.0065 * max(0.0, (v - 0.55) / 0.45) ** 1.3
    half = max(0.021 * bowl * (1 - 0.3 * stem), handle * stem)
    tip = math.sqrt(max(0.0, 1 - (max(0.0, v - 0.96) / 0.04) ** 2))
    return half * tip, bowl, stem


def build_spoon(material: Any, at: tuple[float, float], turned_by: float) -> None:
    long = 0.17

    def shape(u: float, v: float) -> Point:
        s = 2 * u - 1
        half, bowl, stem = spoon_outline(v)
        arch = 0.011 * math.sin(math.pi * min(1.0, max(0.0, (v - 0.2) / 0.8)))
        rim = 0.0105 - 0.0075 * v
        hollow = 0.009 * bowl * (1 - s * s) + 0.0012 * s * s * stem
        return half * s, long * v, rim + arch - hollow

    angle = math.radians(turned_by)
    support = [
        (at[0] - math.sin(angle) * d, at[1] + math.cos(angle) * d) for d in (0, 0.03, 0.05, long)
    ]
    rest = max(height_at(x, y) for x, y in support)
    spoon = sheet(material, shape, (24, 120))
    spoon.modifiers.new("body", "SOLIDIFY").thickness = 0.0014
    turn([spoon], (*at, rest), (0, 0, turned_by))


def build_tumbler(at: Point) -> None:
    """A glass of water, thick in the base."""
    wall = mm(
        "0,0  28,0  28,0  30.5,4  36.5,100  36.5,100  35,101.2  "
        "33.5,100  33.5,100  28.5,18  24,13  0,12"
    )
    fill = mm("0,12.3  23.8,13.3  28.3,18.2  31.3,66  31.3,66  0,65.5")
    pane = turned(glass("glass", (0.97, 0.99, 0.98)), wall, 128)
    turn([pane, turned(glass("water", (0.96, 0.99, 1.0), 1.33), fill, 128)], at)


def build_cup(at: Point) -> None:
    stone = glaze("stoneware", (0.36, 0.42, 0.40), (0.05, 0.03, 0.02))
    tea = plain("tea", (0.09, 0.022, 0.004), 0.16, specular=0.6)
    cup = mm(
        "0,6  22,6  24,4  27,5  34.5,20  39.5,45  41.5,70  40.5,71.5  39,70  37,45  31,20  0,14"
    )
    saucer = mm("0,1  30,1  34,0  37,2  62,9  74,15  74.5,17  62,12.5  36,6  0,6")
    handle = mm("38,0,58  52,0,61  64,0,50  60,0,32  35,0,22")
    parts = [
        turned(stone, cup),
        turned(stone, saucer),
        turned(tea, mm("37.8,56  37.8,56  0,56")),
        tube(stone, handle, [0.0055, 0.0048, 0.0045, 0.0046, 0.0058]),
    ]
    turn(parts, at, (0, 0, -35))


def blade(material: Any, long: float, wide: float, droop: float) -> Any:
    """One leaf from the origin along +y, folded along its rib and drooping to its tip."""

    def shape(u: float, v: float) -> Point:
        s = 2 * u - 1
        half = wide / 2 * max(math.sin(math.pi * v**0.62), 0.0) ** 0.85
        wave = 0.05 * wide * math.sin(11 * v + 2 * s) * abs(s)
        return half * s, long * v, 0.32 * half * abs(s) - droop * long * v * v + wave

    return sheet(material, shape, (10, 20)).data


def scatter(mesh: Any, at: Point, yaw: float, pitch: float, roll: float, scale: float) -> None:
    thing = bpy.data.objects.new("leaf", mesh)
    bpy.context.collection.objects.link(thing)
    thing.rotation_mode = "YXZ"
    thing.location, thing.rotation_euler, thing.scale = at, (pitch, roll, yaw), (scale,) * 3


def take_out(mesh: Any) -> Any:
    """Delete the objects that were only needed to make a mesh."""
    for thing in [o for o in bpy.data.objects if o.data == mesh]:
        bpy.data.objects.remove(thing)
    return mesh


def build_plant(at: Point) -> None:
    """A fig in a clay pot: stems, each with leaves turning around it."""
    dice = random.Random(11)
    pot = mm("0,0  52,0  52,0  55,4  70,88  70,88  78,90  80,113  78,116  71,115  68,100  68,98")
    earth = turned(soil("soil"), mm("69,100  40,104  0,102"))
    turn([turned(clay("terracotta", (0.36, 0.13, 0.065)), pot), earth], at)
    green = leaf("fig leaf", (0.028, 0.09, 0.022), (0.11, 0.23, 0.045))
    bark = plain("bark", (0.09, 0.07, 0.035), 0.8)
    kinds = [take_out(blade(green, 0.085, 0.042, droop)) for droop in (0.1, 0.25, 0.45)]
    for stem in range(9):
        yaw = stem * 2.4 + dice.uniform(-0.3, 0.3)
        lean, tall = dice.uniform(0.05, 0.42), dice.uniform(0.2, 0.33)

        def along(
            t: float, yaw: float = yaw, reach: float = lean * tall, tall: float = tall
        ) -> Point:
            out = 0.02 + 1.2 * reach * t * t
            return at[0] + out * math.cos(yaw), at[1] + out * math.sin(yaw), at[2] + 0.1 + tall * t

        tube(bark, [along(t / 6) for t in range(7)], [0.0032 - 0.0003 * t for t in range(7)])
        grow_leaves(dice, along, yaw, int(tall * 62), kinds)


def grow_leaves(
    dice: random.Random, along: Callable[[float], Point], yaw: float, count: int, kinds: list[Any]
) -> None:
    """Leaves in a spiral up a stem, smaller and steeper towards its top."""
    for number in range(count):
        t = 0.22 + 0.78 * number / count
        facing = yaw + number * 2.399 + dice.uniform(-0.3, 0.3)
        pitch = dice.uniform(-0.25, 0.45) + 0.5 * max(0.0, t - 0.7)
        kind, roll = dice.choice(kinds), dice.uniform(-0.4, 0.4)
        scatter(kind, along(t), facing, pitch, roll, dice.uniform(0.6, 1.05) * (1.15 - 0.45 * t))


def build_fern(at: Point) -> None:
    """A fern on the window sill: arching fronds of paired leaflets."""
    dice = random.Random(3)
    blue = glaze("blue pot", (0.05, 0.1, 0.17), (0.02, 0.03, 0.05))
    pot = mm("0,0  34,0  34,0  40,10  48,50  46,75  43,75  40,60  0,60")
    turn([turned(blue, pot)], at)
    green = leaf("fern leaf", (0.045, 0.12, 0.02), (0.12, 0.26, 0.04))
    leaflet = take_out(blade(green, 0.03, 0.0085, 0.15))
    bark = plain("frond", (0.07, 0.1, 0.03), 0.7)
    for number in range(22):
        yaw, long, up = number * 2.4, dice.uniform(0.11, 0.2), dice.uniform(0.6, 1.25)
        points = frond((at[0], at[1], at[2] + 0.068), yaw, long, up)
        tube(bark, points[::5], 0.0009)
        for step in range(4, 26):
            size, pitch = math.sin(math.pi * (step / 26) ** 0.8) * 0.9 + 0.15, 0.1 - 0.5 * step / 26
            for side in (-1.2, 1.2):
                roll, scale = dice.uniform(-0.3, 0.3), size * dice.uniform(0.85, 1.1)
                scatter(leaflet, points[step], yaw - math.pi / 2 + side, pitch, roll, scale)


def frond(at: Point, yaw: float, long: float, up: float) -> list[Point]:
    """Points along an arch that leaves ``at`` at the angle ``up`` and bows to its tip."""
    points = []
    for t in (step / 25 for step in range(26)):
        out = long * math.sin(t * 1.5) * math.cos(up * (1 - t * 0.8))
        rise = long * (math.sin(up) * t * 1.3 - 0.75 * t * t)
        points.append((at[0] + out * math.cos(yaw), at[1] + out * math.sin(yaw), at[2] + rise))
    return points


def build_towel(at: Point, angles: Point) -> None:
    """A tea towel; a short cloth simulation makes its folds."""
    stripes = striped((0.66, 0.62, 0.54), (0.20, 0.03, 0.03), (0.62, 0.58, 0.5))
    linen = cloth("tea towel", stripes, (190, 260))

    def thrown(u: float, v: float) -> Point:
        x, y = 0.38 * (u - 0.5), 0.52 * (v - 0.5)
        bend = 0.03 * math.sin(10 * u + 3.2 * v) + 0.02 * math.sin(6 * v - 5 * u + 1)
        return 0.93 * x + 0.01 * math.sin(9 * v), 0.95 * y, 0.055 + bend

    towel = keep(settle(sheet(linen, thrown, (62, 84))), linen)
    towel.modifiers.new("soft", "SUBSURF").render_levels = 1
    turn([towel], at, angles)


def settle(fabric: Any, frames: int = 35) -> Any:
    """The mesh of a sheet after it has fallen on the plane z = 0; the sheet is deleted."""
    floor = sheet(None, lambda u, v: (2 * u - 1, 2 * v - 1, 0.0), (1, 1))
    floor.modifiers.new("stop", "COLLISION")
    floor.collision.thickness_outer = 0.0015
    fall = fabric.modifiers.new("fall", "CLOTH")
    fall.settings.quality, fall.settings.mass = 5, 0.25
    fall.settings.bending_stiffness, fall.settings.tension_stiffness = 0.6, 18
    fall.collision_settings.use_self_collision = True
    fall.collision_settings.self_distance_min = fall.collision_settings.distance_min = 0.0015
    for frame in range(1, frames + 1):
        bpy.context.scene.frame_set(frame)
    graph = bpy.context.evaluated_depsgraph_get()
    mesh = bpy.data.meshes.new_from_object(fabric.evaluated_get(graph))
    for thing in (fabric, floor):
        bpy.data.objects.remove(thing)
    return mesh


def build_print(at: Point) -> None:
    """A framed print on the wall: the phases of the moon."""
    ink = plain("print ink", (0.02, 0.025, 0.05), 0.7)
    wide, tall = 0.25, 0.33
    mount = box(paper("print paper", (0.62, 0.58, 0.47)), (wide, 0.004, tall), (0, 0, 0), 0.0005)
    parts = [mount, *picture_frame(wide, tall)]

    def front(x: float, z: float) -> Point:
        return x, -0.0024, z

    lines = [
        ("PHASES OF THE MOON", 0.0185, BOLD, 0.125),
        ("as seen by an unaided and patient eye", 0.0108, ITALIC, 0.108),
        ("it is never dark; it is only early", 0.0108, ITALIC, -0.15),
    ]
    parts += [letters(text, ink, size, font, laid(0, z, front)) for text, size, font, z in lines]
    names = ["New", "Crescent", "Quarter", "Gibbous", "Full", "Waning", "Last", "Old", "Dark"]
    for number, name in enumerate(names):
        x, z = 0.074 * (number % 3 - 1), 0.06 - 0.078 * (number // 3)
        parts.append(sheet(ink, dark_of_moon(number, laid(x, z, front)), (4, 40)))
        parts.append(tube(ink, circle(0.027, (x, -0.0022, z), upright=True), 0.00035))
        parts.append(letters(name, ink, 0.0085, REGULAR, laid(x, z - 0.037, front)))
    turn(parts, at, (-2, 0, 0))


def picture_frame(wide: float, tall: float) -> list[Any]:
    timber = wood("frame", (0.03, 0.013, 0.007), (0.11, 0.055, 0.026), 0.3)
    bars = []
    for side in (-1, 1):
        rail = (0, -0.005, side * (tall / 2 + 0.01))
        bars.append(box(timber, (wide + 0.04, 0.02, 0.02), rail, 0.004))
        stile = (side * (wide / 2 + 0.01), -0.005, 0)
        bars.append(box(timber, (tall + 0.04, 0.02, 0.02), stile, 0.004))
        bars[-1].rotation_euler = (0, math.pi / 2, 0)
    return bars


def dark_of_moon(day: int, front: Shape) -> Shape:
    """The unlit part of the disc, ``day`` eighths of a month after new moon."""

    def shape(u: float, v: float) -> Point:
        angle = math.pi * (v - 0.5)
        rim = 0.027 * math.cos(angle)
        edge = rim * math.cos(math.tau * day / 8)
        start, end = (-rim, edge) if day <= 4 else (-edge, rim)
        return front(start + (end - start) * u, 0.027 * math.sin(angle))

    return shape


# --- light, camera, render -----------------------------------------------------------------------


def area_light(
    name: str, at: Point, towards: Point, size: float, power: float, colour: Colour
) -> None:
    """A rectangular area light that is not visible to the camera."""
    light = bpy.data.lights.new(name, "AREA")
    light.size, light.energy, light.color = size, power, colour
    source = bpy.data.objects.new(name, light)
    bpy.context.collection.objects.link(source)
    source.location = at
    source.visible_camera = False
    aim(source, towards)


def aim(thing: Any, towards: Point) -> None:
    from mathutils import Vector

    way = Vector(towards) - thing.location
    thing.rotation_euler = way.to_track_quat("-Z", "Y").to_euler()


def light_scene() -> None:
    world = bpy.data.worlds.new("room")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.9, 0.95, 1.1, 1)
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.045
    world.cycles.sampling_method = "NONE"  # uniform and dim: needs no importance sampling
    bpy.context.scene.world = world
    area_light("window light", (-0.6, 1.1, 0.75), (-0.2, 0, 0), 0.7, 16.0, (0.42, 0.62, 1.0))
    # An open door behind the camera, reflected by the metal and the eyes.
    area_light("doorway", (-1.1, -1.9, 0.9), (0, 0, 0.1), 0.8, 9.0, (1.0, 0.9, 0.8))


def place_camera() -> None:
    lens = bpy.data.cameras.new("camera")
    lens.lens, lens.sensor_width = 34.0, 36.0
    lens.dof.use_dof, lens.dof.focus_distance, lens.dof.aperture_fstop = True, 0.98, 9.0
    camera = bpy.data.objects.new("camera", lens)
    bpy.context.collection.objects.link(camera)
    camera.location = (0.02, -1.0, 0.47)
    aim(camera, (0.015, 0.1, 0.195))
    bpy.context.scene.camera = camera


def build() -> None:
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    build_towel((0.30, -0.20, 0.0005), (0, 0, 24))
    build_room()
    build_night()
    build_curtain()
    build_lamp((0.27, 0.20, 0))
    build_books()
    build_dolls()
    build_open_book((-0.03, -0.15, 0.026), (13, 0, -5))
    build_newspaper((-0.36, -0.15, 0), (0, 0, 11))
    build_cup((-0.21, 0.095, 0))
    build_colour_card((0.075, 0.145, 0.05), (72, 0, -3))
    build_kettle((0.46, 0.04, 0))
    silver = metal("silver", (0.86, 0.84, 0.8), 0.1)
    build_spoon(silver, (0.275, -0.275), 35)
    build_spoon(metal("brushed spoon", (0.62, 0.61, 0.58), 0.26, 1.0), (0.34, -0.285), 22)
    build_tumbler((0.185, 0.05, 0))
    build_plant((-0.44, 0.16, 0))
    build_fern((-0.37, 0.585, 0.083))
    build_print((0.065, 0.612, 0.47))
    light_scene()
    place_camera()


def configure(out: Path, preview: bool) -> None:
    scene = bpy.context.scene
    render, cycles, layer = scene.render, scene.cycles, scene.view_layers[0]
    render.engine = "CYCLES"
    render.resolution_x, render.resolution_y = WIDTH, HEIGHT
    render.resolution_percentage = 25 if preview else 100
    cycles.samples = 24 if preview else SAMPLES
    cycles.use_denoising = False
    cycles.use_auto_tile = False
    # Adaptive sampling; the time limit ends the render on a slow machine.
    cycles.use_adaptive_sampling, cycles.adaptive_threshold = True, 0.015
    cycles.adaptive_min_samples, cycles.time_limit = 32, MINUTES * 60
    # Indirect light is clamped against fireflies; directly visible light is not.
    cycles.sample_clamp_indirect, cycles.blur_glossy = 3.0, 1.0
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 10, 2, 3
    cycles.transmission_bounces, cycles.transparent_max_bounces = 8, 8
    cycles.filter_width = 1.3
    # Debian builds Blender without a denoiser; these passes are for the one of the encoding step.
    layer.cycles.denoising_store_passes = True
    render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
    render.image_settings.color_depth = "32"
    render.filepath = str(out)
    render.use_file_extension = False


def render(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="blender -b -P scripts/scene.py --")
    parser.add_argument("out", type=Path, help="OpenEXR file to write")
    parser.add_argument("--preview", action="store_true", help="quarter size, few samples")
    options = parser.parse_args(arguments)
    build()
    configure(options.out.resolve(), options.preview)
    bpy.ops.render.render(write_still=True)


# --- the file ------------------------------------------------------------------------------------


def read_passes(path: Path) -> tuple[Any, Any, Any]:
    """The picture, the surface colours and the surface normals of a render, each (H, W, 3)."""
    import OpenImageIO

    buffer = OpenImageIO.ImageBuf(str(path))
    names = buffer.spec().channelnames
    pixels = buffer.get_pixels(OpenImageIO.FLOAT)
    if pixels is None:
        raise SystemExit(f"{path}: {buffer.geterror()}")

    def layer(title: str, channels: str) -> Any:
        return pixels[..., [names.index(f"ViewLayer.{title}.{c}") for c in channels]].copy()

    return (
        layer("Combined", "RGB"),
        layer("Denoising Albedo", "RGB"),
        layer("Denoising Normal", "XYZ"),
    )


def denoise(picture: Any, albedo: Any, normal: Any) -> Any:
    """Intel Open Image Denoise, which preserves textures with ``albedo`` and ``normal``."""
    import numpy as np

    oidn: Any = importlib.import_module("oidn")
    # The Python wrapper has no options, so they are set through the library.
    library = ctypes.CDLL(
        str(next(Path(oidn.__file__).parent.glob("lib*/libOpenImageDenoise.so*")))
    )
    library.oidnSetFilter1b.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_bool]
    device = oidn.NewDevice()
    oidn.CommitDevice(device)
    work = oidn.NewFilter(device, "RT")
    height, width, _ = picture.shape
    output = np.empty_like(picture)
    images = {"color": picture, "albedo": albedo, "normal": normal, "output": output}
    for name, image in images.items():
        oidn.SetSharedFilterImage(work, name, image, oidn.FORMAT_FLOAT3, width, height)
    for switch in (b"hdr", b"cleanAux"):
        library.oidnSetFilter1b(work, switch, True)
    oidn.CommitFilter(work)
    oidn.ExecuteFilter(work)
    oidn.ReleaseFilter(work)
    oidn.ReleaseDevice(device)
    return output


def to_codes(linear: Any) -> Any:
    """Linear light to 16-bit code values by a cube root, which is close to perceived brightness."""
    import numpy as np

    return np.rint((np.clip(linear, 0, BRIGHTEST) / BRIGHTEST) ** (1 / 3) * 65535).astype(np.uint16)


def from_codes(codes: Any) -> Any:
    return (codes / 65535.0) ** 3 * BRIGHTEST


def decibels(first: Any, second: Any) -> float:
    """PSNR of two arrays whose peak is 1."""
    import numpy as np

    return float(-10 * np.log10(np.mean((first - second) ** 2)))


def as_seen(codes: Any) -> Any:
    """Light up to diffuse white, encoded with a display gamma, for comparing visible errors."""
    return from_codes(codes).clip(0, 1) ** (1 / 2.2)


def encode(arguments: Sequence[str]) -> None:
    import imagecodecs

    parser = argparse.ArgumentParser(prog="python scripts/scene.py")
    parser.add_argument("render", type=Path, help="OpenEXR file that Blender wrote")
    parser.add_argument("out", type=Path, help="JPEG XL file to write")
    parser.add_argument("--distance", type=float, default=DISTANCE, help="JPEG XL distance")
    options = parser.parse_args(arguments)
    codes = to_codes(denoise(*read_passes(options.render)))
    data = imagecodecs.jpegxl_encode(codes, distance=options.distance, effort=8)
    options.out.write_bytes(data)
    back = imagecodecs.jpegxl_decode(data)
    print(f"{options.out}: {back.shape[1]} x {back.shape[0]}, {len(data) / 1e6:.2f} MB")
    print(f"PSNR of the code values: {decibels(codes / 65535, back / 65535):.1f} dB")
    print(f"PSNR as seen on a screen: {decibels(as_seen(codes), as_seen(back)):.1f} dB")


if __name__ == "__main__":
    if bpy is None:
        encode(sys.argv[1:])
    else:
        render(sys.argv[sys.argv.index("--") + 1 :])
