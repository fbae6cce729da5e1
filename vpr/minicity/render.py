"""The ray caster: ground, walls, cut-outs. Every column of the picture is a ray over the street map."""

import numpy as np

from vpr.minicity.atlas import LEVELS, PIXELS_PER_METRE
from vpr.minicity.city import City
from vpr.minicity.develop import develop
from vpr.minicity.frame import COLS, FOCAL, ROW_CENTRES, ROWS, SLOPES, Camera, Frame
from vpr.minicity.ground import PIXELS_PER_METRE as GROUND_PIXELS_PER_METRE
from vpr.minicity.light import SEASONS, Moment

WALL_LAYERS = 3
"""How many walls may show above one another in a column."""
FAR_M, PROPS_FAR_M = 170.0, 55.0


def render(city: City, camera: Camera, moment: Moment, day: int, rng: np.random.Generator) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8. `day` says which cars are there; `rng` draws clouds and sensor noise."""
    frame = Frame(city, camera, moment, day)
    cast_ground(frame)
    cast_walls(frame)
    draw_props(frame)
    return develop(frame, rng)


def cast_ground(frame: Frame) -> None:
    """Every row below the horizon is at one depth, so one mip level per row will do."""
    first = int(np.ceil(frame.horizon + 0.5))
    depth = frame.camera.z * FOCAL / (ROW_CENTRES[first:] - frame.horizon)  # (rows,)
    depth = np.minimum(depth, FAR_M)
    x = frame.position[0] + depth[:, None] * frame.rays[0]
    y = frame.position[1] + depth[:, None] * frame.rays[1]
    # Texels per fine row shrink with the square of the depth; half a level of blur is still sharp enough.
    footprint = GROUND_PIXELS_PER_METRE * depth / FOCAL * np.sqrt(np.maximum(1.0, depth / frame.camera.z))
    level = np.clip(np.log2(footprint), 0, LEVELS - 1).astype(int)
    pictures = frame.city.ground_in(frame.moment.season)
    for at in range(LEVELS):
        rows = np.flatnonzero(level == at)
        if rows.size:
            part, scale = slice(rows[0], rows[-1] + 1), GROUND_PIXELS_PER_METRE / 2**at
            h, w = pictures[at].shape
            row = np.clip(y[part] * scale, 0, h - 1).astype(np.int32)
            col = np.clip(x[part] * scale, 0, w - 1).astype(np.int32)
            frame.texel[first:][part] = pictures[at].ravel().take(row * w + col)
    if frame.look.sun[2] > 0:
        frame.sun[first:] = (frame.on_map(frame.shadows, x, y) < 0.2) * np.float32(0.35 + 0.65 * frame.look.sun[2])
    if frame.look.lamps:
        frame.lamp[first:] = frame.on_map(frame.city.lamp_light, x, y)
    frame.depth[first:] = depth[:, None]


def meet_walls(frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where every column meets every wall worth asking: wall numbers (S,), depth (S, COLS) inf for a miss, place along the wall."""
    walls = frame.city.walls
    own, other = frame.position[walls.axis], frame.position[1 - walls.axis]
    faces = (own - walls.pos) * walls.sign > 0
    aside = np.maximum(np.maximum(walls.lo - other, other - walls.hi), 0)
    near = np.maximum(np.abs(own - walls.pos), aside) < FAR_M
    corners = [
        (walls.pos - own) * frame.forward[walls.axis] + (end - other) * frame.forward[1 - walls.axis]
        for end in (walls.lo, walls.hi)
    ]
    lateral = [
        (walls.pos - own) * frame.right[walls.axis] + (end - other) * frame.right[1 - walls.axis]
        for end in (walls.lo, walls.hi)
    ]
    ahead = np.maximum(*corners) > 0.3
    inside = ~((lateral[0] > corners[0]) & (lateral[1] > corners[1])) & ~(
        (lateral[0] < -corners[0]) & (lateral[1] < -corners[1])
    )
    ids = np.flatnonzero(faces & near & ahead & inside)
    axis = walls.axis[ids]
    depth = (walls.pos[ids] - own[ids])[:, None] / frame.rays[axis]  # (S, COLS)
    along = other[ids][:, None] + depth * frame.rays[1 - axis]
    miss = (depth < 0.3) | (along < walls.lo[ids][:, None]) | (along > walls.hi[ids][:, None])
    depth[miss] = np.inf
    return ids, depth, along


def cast_walls(frame: Frame) -> None:
    """The nearest wall of every column, then those whose tops show above it; painted far to near."""
    ids, depth, along = meet_walls(frame)
    walls, every = frame.city.walls, np.arange(COLS)
    rise = (walls.height[ids] - frame.camera.z)[:, None] / depth  # slope of the top edge
    solid = (walls.solid[ids] - frame.camera.z)[:, None] / depth
    skyline = np.full(COLS, -np.inf, np.float32)
    layers = []
    for _ in range(WALL_LAYERS):
        nearest = depth.argmin(0)
        here = depth[nearest, every]
        hit = np.isfinite(here)
        layers.append((ids[nearest], here, along[nearest, every], rise[nearest, every], skyline))
        skyline = np.where(hit, np.maximum(skyline, solid[nearest, every]), skyline)
        depth = np.where((depth > here) & (rise > skyline), depth, np.inf)
    for wall, here, place, top, hidden in reversed(layers):
        cols = np.flatnonzero(np.isfinite(here))
        if cols.size:
            window = slice(cols[0], cols[-1] + 1)
            bottom = np.maximum(hidden[window], -frame.camera.z / here[window]).min()
            edges = top[cols].max() + 2 / FOCAL, bottom  # slopes
            first, last = (int(np.clip(frame.horizon - slope * FOCAL + 1, 0, ROWS)) for slope in edges)
            paint_wall(frame, slice(first, last), window, wall[window], np.minimum(here[window], 1e6), place[window])
    np.minimum(layers[0][1], 1e4, out=frame.wall_depth)


def paint_wall(frame: Frame, rows: slice, cols: slice, wall: np.ndarray, depth: np.ndarray, along: np.ndarray) -> None:
    """Paint one wall per column; wall, depth, along: (n,), depth 1e6 where the column meets none."""
    walls, atlas, look = frame.city.walls, frame.city.atlas, frame.look
    picture, sign, on_x = walls.picture[wall], walls.sign[wall], walls.axis[wall] == 0
    along = np.clip(along, walls.lo[wall], walls.hi[wall])
    u = np.where(walls.flipped[wall], walls.hi[wall] - along, along - walls.lo[wall])
    slant = np.abs(np.where(on_x, frame.rays[0, cols], frame.rays[1, cols]))  # how squarely the ray meets the wall
    footprint = PIXELS_PER_METRE * depth / FOCAL / np.sqrt(np.maximum(slant, 0.05))
    level = np.clip(np.log2(footprint) + 0.3, 0, LEVELS - 1).astype(np.int32)
    width, height = atlas.width[picture, level], atlas.height[picture, level]
    start = atlas.base[picture, level] + np.clip(u * width / atlas.size[picture, 0], 0, width - 1).astype(np.int32)
    top = np.where(depth < 1e5, walls.height[wall], -1).astype(np.float32)
    fall = depth / np.float32(FOCAL)  # metres per row
    z = np.float32(frame.camera.z) - (ROW_CENTRES[rows] - frame.horizon)[:, None] * fall  # (rows, n)
    texels_per_metre = (height / walls.height[wall]).astype(np.float32)
    row = np.clip((walls.height[wall] - z) * texels_per_metre, 0, height - 1).astype(np.int32)
    row *= width
    row += start
    texel = atlas.colour.take(row)
    seen = (z >= 0) & (z < top) & (texel >= 1 << 24)
    normal = np.where(on_x, look.sun[0], look.sun[1]) * sign
    x = np.where(on_x, walls.pos[wall] + 0.6 * sign, along)
    y = np.where(on_x, along, walls.pos[wall] + 0.6 * sign)
    shadow = np.where(normal > 0.02, frame.on_map(frame.shadows, x, y), 1e3).astype(np.float32)
    sun = (z > shadow) * (0.3 + 0.8 * normal).astype(np.float32) if look.sun[2] > 0 else 0.0
    lamp = frame.on_map(frame.city.lamp_light, x, y) * np.clip(0.84 - z / 13, 0.1, 0.7) if look.lamps else 0.0
    frame.put(rows, cols, seen, row, texel, sun, depth, lamp)


def draw_props(frame: Frame) -> None:
    """Cut-outs from far to near, each hidden where a wall is nearer."""
    props, atlas = frame.city.props, frame.city.atlas
    offset = props.xy - frame.position
    depth, aside = offset @ frame.forward, offset @ frame.right
    wanted = (
        (depth > 1.0) & (depth < PROPS_FAR_M) & (np.abs(aside) < 0.84 * depth + 3) & (props.days >> frame.day & 1 == 1)
    )
    facing = (props.normal * offset).sum(1) <= 0
    ids = np.flatnonzero(wanted & (facing | (depth < 14)))  # the far side of a near car stands in for its roof
    ids = ids[np.argsort(-(offset[ids] ** 2).sum(1), kind="stable")]
    picture = props.picture[ids, SEASONS.index(frame.moment.season)]
    half, direction = 0.5 * atlas.size[picture, :1], props.direction[ids]
    step = np.stack([direction @ frame.right, direction @ frame.forward], 1)
    step[~direction.any(1)] = (1, 0)  # turned to the camera
    step *= np.where(step[:, :1] < 0, -half, half)
    middle = np.stack([aside[ids], depth[ids]], 1)
    left, right = middle - step, middle + step  # (n, 2): sideways, depth
    turned = left[:, 0] * right[:, 1] > right[:, 0] * left[:, 1]  # a picture is never seen mirrored
    left[turned], right[turned] = right[turned], left[turned]
    near = np.minimum(left[:, 1], right[:, 1])
    ends = [
        np.clip(np.ceil(COLS / 2 - 0.5 + FOCAL * end[:, 0] / np.maximum(end[:, 1], 0.1)), 0, COLS).astype(int)
        for end in (left, right)
    ]
    x, y = props.xy[ids].T
    sun = 0.7 * (frame.on_map(frame.shadows, x, y) < 2.5)
    lamp = 0.5 * frame.on_map(frame.city.lamp_light, x, y)
    for i in np.flatnonzero((near > 0.6) & (ends[0] < ends[1])):
        cols = slice(int(ends[0][i]), int(ends[1][i]))
        if frame.wall_depth[cols].max() > near[i]:
            ends_m, foot = (left[i].tolist(), right[i].tolist()), float(props.foot[ids[i]])
            draw_prop(frame, int(picture[i]), cols, ends_m, foot, sun[i], lamp[i])


def draw_prop(
    frame: Frame, picture: int, cols: slice, ends: tuple[list[float], list[float]], foot: float, sun: float, lamp: float
) -> None:
    """One upright cut-out between two `ends`, each (sideways, depth) in metres from the camera."""
    left, right = ends
    atlas, eye = frame.city.atlas, frame.camera.z
    slope, wide, deep = SLOPES[cols], right[0] - left[0], right[1] - left[1]
    share = (slope * left[1] - left[0]) / (wide - slope * deep)  # 0..1 along the picture
    depth = left[1] + share * deep
    near, far, high = float(depth.min()), float(depth.max()), float(atlas.size[picture, 1])
    top, bottom = foot + high - eye, foot - eye
    horizon = float(frame.horizon)
    rows = slice(
        max(0, int(horizon - top * FOCAL / (near if top > 0 else far))),
        max(0, min(ROWS, int(horizon - bottom * FOCAL / (near if bottom < 0 else far)) + 1)),
    )
    if rows.start >= rows.stop:
        return
    level = int(np.clip(np.log2(PIXELS_PER_METRE * near / FOCAL) + 0.2, 0, LEVELS - 1))
    width, height, base = (int(part[picture, level]) for part in (atlas.width, atlas.height, atlas.base))
    start = (share * width).astype(np.int32).clip(0, width - 1) + base
    scale = height / high
    row = np.floor(
        np.float32(top * scale) + (ROW_CENTRES[rows] - frame.horizon)[:, None] * (depth * np.float32(scale / FOCAL))
    ).astype(np.int32)
    index = row.clip(0, height - 1) * width + start
    texel = atlas.colour.take(index)
    seen = (row >= 0) & (row < height) & (texel >= 1 << 24) & (depth < frame.wall_depth[cols] + 0.1)
    frame.put(rows, cols, seen, index, texel, sun, depth, lamp)
