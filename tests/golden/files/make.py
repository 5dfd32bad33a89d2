"""tests/photos → small files as scanners, old programs and accidents leave them, and what Pillow makes of them."""

import io
import json
import shutil
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

HERE = Path(__file__).resolve().parent
PHOTOS = HERE.parents[1] / "photos"
COLUMNS = 1024
SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 3, 4, 5, 7, 16
FORMATS = {SHORT: "H", LONG: "I", LONG8: "Q"}
WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
OFFSETS, SAMPLES, ROWS, COUNTS, PLANAR, T4_OPTIONS, COLOURS, EXTRA = 273, 277, 278, 279, 284, 292, 320, 338
JPEG_START, JPEG_LENGTH, SUBSAMPLING, REFERENCE = 513, 514, 530, 532


def photo(name, size):
    return Image.open(PHOTOS / name).convert("RGB").resize(size, Image.Resampling.LANCZOS)


def save(name, image, **options):
    image.save(HERE / name, **options)


def tiff(name, size, strips, tags, big=False, order="<", counted=True):
    """A TIFF file from its strips and tags: {number: (type, values)}."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 16) if big else (42, 8)))
    width, height = size
    entries = {WIDTH: (SHORT, [width]), LENGTH: (SHORT, [height]), ROWS: (SHORT, [-(-height // len(strips))]), **tags}
    pointer = LONG8 if big else LONG
    entries[OFFSETS] = (pointer, [0] * len(strips))
    if counted:
        entries[COUNTS] = (pointer, [len(strip) for strip in strips])

    def packed(kind, values):
        if kind == UNDEFINED:
            return bytes(values), len(values)
        if kind == RATIONAL:
            return b"".join(struct.pack(order + "II", value, 1) for value in values), len(values)
        return struct.pack(order + str(len(values)) + FORMATS[kind], *values), len(values)

    room, line = (8, "HHQ") if big else (4, "HHI")
    table = (8 + 20 * len(entries) + 8) if big else (2 + 12 * len(entries) + 4)
    at = len(head) + table
    places = {}
    for tag, (kind, values) in sorted(entries.items()):
        data, _ = packed(kind, values)
        if len(data) > room:
            places[tag] = at
            at += len(data) + len(data) % 2
    entries[OFFSETS] = (pointer, [at + sum(len(before) for before in strips[:i]) for i in range(len(strips))])
    directory, outside = struct.pack(order + ("Q" if big else "H"), len(entries)), b""
    for tag, (kind, values) in sorted(entries.items()):
        data, count = packed(kind, values)
        inside = data.ljust(room, b"\0")
        if tag in places:
            inside = struct.pack(order + ("Q" if big else "I"), places[tag])
            outside += data + b"\0" * (len(data) % 2)
        directory += struct.pack(order + line, tag, kind, count) + inside
    directory += b"\0" * (8 if big else 4)
    (HERE / name).write_bytes(head + directory + outside + b"".join(strips))


def rows_of(values, bits):
    """Values below 2**bits, rows × columns → the bytes of each row."""
    digits = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(digits.reshape(len(values), -1).astype(np.uint8), axis=1)


def strips_of(rows, count=2):
    length = -(-len(rows) // count)
    return [rows[at : at + length].tobytes() for at in range(0, len(rows), length)]


def make_palettes(small):
    for bits in (1, 2, 4, 8):
        palette = small.quantize(2**bits)
        colours = np.array(palette.getpalette()).reshape(-1, 3)
        colours = np.vstack([colours, np.zeros((2**bits - len(colours), 3), int)])[: 2**bits]
        table = (colours.T * 257).ravel().tolist()
        tags = {BITS: (SHORT, [bits]), COMPRESSION: (SHORT, [1]), PHOTOMETRIC: (SHORT, [3]), COLOURS: (SHORT, table)}
        index = np.asarray(palette)
        tiff(f"tiff-palette-{bits}.tif", small.size, strips_of(rows_of(index, bits)), tags)
        if bits == 8:
            alpha = np.tile(np.linspace(255, 0, index.shape[0]).round().astype(np.uint8)[:, None], (1, index.shape[1]))
            both = np.dstack([index, alpha]).reshape(len(index), -1)
            two = {**tags, BITS: (SHORT, [8, 8]), SAMPLES: (SHORT, [2])}
            tiff("tiff-palette-alpha.tif", small.size, strips_of(both), {**two, EXTRA: (SHORT, [2])}, order=">")
            tiff("tiff-palette-further.tif", small.size, strips_of(both), {**two, EXTRA: (SHORT, [0])})
    save("tiff-palette-lzw.tif", small.quantize(100), compression="tiff_lzw")


def make_greys(small):
    grey = np.asarray(small.convert("L"))
    for bits in (2, 4):
        rows = rows_of(grey >> (8 - bits), bits)
        tags = {BITS: (SHORT, [bits]), COMPRESSION: (SHORT, [1])}
        tiff(f"tiff-grey-{bits}.tif", small.size, strips_of(rows), {**tags, PHOTOMETRIC: (SHORT, [1])})
        tiff(f"tiff-grey-{bits}-white-is-zero.tif", small.size, strips_of(rows), {**tags, PHOTOMETRIC: (SHORT, [0])})
    turned = np.packbits(np.unpackbits(rows, bitorder="little"))  # each byte reversed
    tiff("tiff-grey-4-low-bit-first.tif", small.size, strips_of(turned.reshape(rows.shape)),
         {**tags, PHOTOMETRIC: (SHORT, [1]), FILL_ORDER: (SHORT, [2])})
    alpha = np.tile(np.linspace(255, 0, grey.shape[0]).round().astype(np.uint8)[:, None], (1, grey.shape[1]))
    save("tiff-grey-alpha-lzw.tif", Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)]), compression="tiff_lzw")


def make_fax(small):
    bits = small.resize((125, 83)).convert("1")
    for name, compression in (("huffman", "tiff_ccitt"), ("group-3", "group3"), ("group-4", "group4")):
        save(f"tiff-{name}.tif", bits, compression=compression)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.tif"
        bits.save(plain)
        for name, kind in (("2d", "g3:2d"), ("fill", "g3:1d:fill"), ("2d-fill", "g3:2d:fill")):
            copied("tiffcp", "-c", kind, "-r", "30", plain, HERE / f"tiff-group-3-{name}.tif")
        copied("tiffcp", "-c", "g4", "-t", "-w", "48", "-l", "32", plain, HERE / "tiff-group-4-tiles.tif")
        copied("tiffcp", "-c", "g4", "-f", "lsb2msb", "-r", "20", plain, HERE / "tiff-group-4-low-bit-first.tif")


def copied(*command):
    subprocess.run([str(part) for part in command], check=True)


def make_jpegs(small):
    odd = small.resize((125, 83))
    save("tiff-jpeg.tif", odd, compression="jpeg", quality=85)
    save("tiff-jpeg-grey.tif", odd.convert("L"), compression="jpeg", quality=85)
    save("tiff-jpeg-cmyk.tif", odd.convert("CMYK"), compression="jpeg", quality=85)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.tif"
        odd.save(plain)
        copied("tiffcp", "-c", "jpeg:80", "-r", "16", plain, HERE / "tiff-jpeg-strips.tif")
        copied("tiffcp", "-c", "jpeg:r:80", "-r", "24", plain, HERE / "tiff-jpeg-rgb.tif")
        copied("tiffcp", "-c", "jpeg:80", "-t", "-w", "64", "-l", "32", plain, HERE / "tiff-jpeg-tiles.tif")
        copied("tiffcp", "-c", "jpeg:r:80", "-p", "separate", "-r", "24", plain, HERE / "tiff-jpeg-planar.tif")
    stream = io.BytesIO()
    odd.save(stream, "JPEG", quality=85)
    stream = stream.getvalue()
    # As the TIFF 6.0 specification of 1992 had it: a whole JPEG file within, which tags point to.
    tags = {BITS: (SHORT, [8, 8, 8]), COMPRESSION: (SHORT, [6]), PHOTOMETRIC: (SHORT, [6]), SAMPLES: (SHORT, [3]),
            JPEG_START: (LONG, [0]), JPEG_LENGTH: (LONG, [len(stream)]), SUBSAMPLING: (SHORT, [2, 2])}
    tiff("tiff-jpeg-old.tif", odd.size, [stream], tags)
    file = bytearray((HERE / "tiff-jpeg-old.tif").read_bytes())
    at = file.index(struct.pack("<HHI", JPEG_START, LONG, 1)) + 8
    file[at : at + 4] = struct.pack("<I", file.index(stream))
    (HERE / "tiff-jpeg-old.tif").write_bytes(file)


def make_ycbcr(small):
    """Luma and chroma as libtiff's documentation has them: blocks of lumas, then one of each chroma."""
    planes = [np.asarray(plane).astype(int) for plane in small.convert("YCbCr").split()]
    height, width = planes[0].shape
    for across, down in ((1, 1), (2, 1), (2, 2), (4, 2)):
        padded = [np.pad(plane, ((0, -height % down), (0, -width % across)), mode="edge") for plane in planes]
        rows, columns = padded[0].shape[0] // down, padded[0].shape[1] // across
        luma = padded[0].reshape(rows, down, columns, across).transpose(0, 2, 1, 3).reshape(rows, columns, -1)
        chroma = [plane.reshape(rows, down, columns, across).mean((1, 3)).round()[..., None] for plane in padded[1:]]
        units = np.concatenate([luma, *chroma], axis=2).astype(np.uint8).reshape(rows, -1)
        tags = {BITS: (SHORT, [8, 8, 8]), COMPRESSION: (SHORT, [8]), PHOTOMETRIC: (SHORT, [6]), SAMPLES: (SHORT, [3]),
                SUBSAMPLING: (SHORT, [across, down]), REFERENCE: (RATIONAL, [0, 255, 128, 255, 128, 255])}
        tiff(f"tiff-ycbcr-{across}{down}.tif", small.size, [zlib.compress(units.tobytes())], tags)
    tiff("tiff-ycbcr-42-plain.tif", small.size, [units.tobytes()], {**tags, COMPRESSION: (SHORT, [1])})
    tags[REFERENCE] = (RATIONAL, [15, 235, 128, 240, 128, 240])  # as video has it; libtiff scales by it
    tiff("tiff-ycbcr-42-video.tif", small.size, [zlib.compress(units.tobytes())], tags)


def make_layouts(small):
    """What the directory leaves out, and directories with 64-bit offsets."""
    pixels = np.asarray(small)
    tags = {BITS: (SHORT, [8, 8, 8]), COMPRESSION: (SHORT, [1]), PHOTOMETRIC: (SHORT, [2]), SAMPLES: (SHORT, [3])}
    strips = strips_of(pixels.reshape(len(pixels), -1), 3)
    tiff("tiff-uncounted.tif", small.size, strips, tags, counted=False)
    tiff("tiff-big.tif", small.size, strips, tags, big=True)
    tiff("tiff-big-endian-big.tif", small.size, strips, tags, big=True, order=">")
    grey = np.asarray(small.convert("L"))
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "packed.tif"
        small.convert("L").save(packed, compression="tiff_lzw", tiffinfo={ROWS: 39})
        tags = Image.open(packed).tag_v2
        start, length = tags[OFFSETS][0], tags[COUNTS][0]
        strip = packed.read_bytes()[start : start + length]
    tags = {BITS: (SHORT, [8]), COMPRESSION: (SHORT, [5]), PHOTOMETRIC: (SHORT, [1])}
    tiff("tiff-uncounted-lzw.tif", small.size, [strip], tags, counted=False)
    tiff("tiff-big-lzw.tif", small.size, [strip], tags, big=True)


def dib(width, height, bits, compression=0, planes=1, colours=0, header=40):
    """A BMP picture's header: BITMAPINFOHEADER, what OS/2 2 made of it (64 bytes), or OS/2 1's (12)."""
    if header == 12:
        return struct.pack("<IHHHH", 12, width, height, planes, bits)
    fields = struct.pack("<IiiHHIIiiII", header, width, height, planes, bits, compression, 0, 0, 0, colours, 0)
    return fields + b"\0" * (header - 40)


def bmp(name, header, palette, rows):
    start = 14 + len(header) + len(palette)
    (HERE / name).write_bytes(b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + palette + rows)


def padded(rows, bottom_first=True):
    """Rows of bytes, each a multiple of four."""
    rows = [bytes(row) + b"\0" * (-len(row) % 4) for row in rows]
    return b"".join(reversed(rows) if bottom_first else rows)


def runs(row):
    """A row of indices by BMP's run lengths."""
    out, at = b"", 0
    while at < len(row):
        end = at
        while end < len(row) and row[end] == row[at] and end - at < 255:
            end += 1
        out += bytes([end - at, row[at]])
        at = end
    return out + b"\0\0"


def make_bmps(small):
    blue_first = np.asarray(small)[:, :, ::-1].reshape(small.height, -1)
    bmp("bmp-planes.bmp", dib(*small.size, 24, planes=7), b"", padded(blue_first))
    bmp("bmp-os2-1.bmp", dib(*small.size, 24, header=12), b"", padded(blue_first))
    palette = small.quantize(64)
    colours = np.array(palette.getpalette()).reshape(-1, 3)[:64]
    colours = np.vstack([colours, np.zeros((256 - len(colours), 3), int)])
    index = np.asarray(palette)
    three = b"".join(bytes([int(b), int(g), int(r)]) for r, g, b in colours)
    four = b"".join(bytes([int(b), int(g), int(r), 0]) for r, g, b in colours)
    bmp("bmp-os2-1-palette.bmp", dib(*small.size, 8, header=12), three, padded(index))
    bmp("bmp-os2-2.bmp", dib(*small.size, 8, header=64), four, padded(index))
    bmp("bmp-os2-2-24.bmp", dib(*small.size, 24, header=64), b"", padded(blue_first))
    stripes = index // 8 * 8
    coded = [runs(row.tolist()) for row in stripes]
    bmp("bmp-runs.bmp", dib(*small.size, 8, 1), four, b"".join(reversed(coded)) + b"\0\1")
    bmp("bmp-runs-from-top.bmp", dib(small.width, -small.height, 8, 1), four, b"".join(coded) + b"\0\1")


def icon(name, pictures):
    """(width, height, bits per pixel, bytes) of each picture → an ICO file."""
    at, table, data = 6 + 16 * len(pictures), b"", b""
    for width, height, bits, picture in pictures:
        table += struct.pack("<BBBBHHII", width % 256, height % 256, 0, 0, 1, bits, len(picture), at + len(data))
        data += picture
    (HERE / name).write_bytes(struct.pack("<HHH", 0, 1, len(pictures)) + table + data)


def make_icons(small):
    square = small.resize((32, 32))
    rgba = square.copy()
    rgba.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 32).astype(np.uint8), (32, 1))))
    pngs = {"rgb": square, "palette": square.quantize(32), "grey": square.convert("L"), "rgba": rgba}
    for kind, image in pngs.items():
        stream = io.BytesIO()
        image.save(stream, "PNG")
        icon(f"ico-png-{kind}.ico", [(32, 32, 32, stream.getvalue())])
    mask = padded(np.packbits(np.tri(32, dtype=np.uint8)[::-1], axis=1))
    blue_first = np.asarray(rgba)[:, :, [2, 1, 0, 3]].reshape(32, -1)
    icon("ico-32-mask.ico", [(32, 32, 32, dib(32, 64, 32) + padded(blue_first) + mask)])
    icon("ico-32-no-mask.ico", [(32, 32, 32, dib(32, 64, 32) + padded(blue_first))])
    icon("ico-32-mask-cut.ico", [(32, 32, 32, dib(32, 64, 32) + padded(blue_first) + mask[:50])])
    three = np.asarray(square)[:, :, ::-1].reshape(32, -1)
    icon("ico-24-mask.ico", [(32, 32, 24, dib(32, 64, 24) + padded(three) + mask)])
    palette = square.quantize(16)
    four = b"".join(bytes([int(b), int(g), int(r), 0]) for r, g, b in np.array(palette.getpalette()).reshape(-1, 3)[:16])
    body = dib(32, 64, 4, colours=16) + four + padded(rows_of(np.asarray(palette), 4)) + mask
    icon("ico-4-mask.ico", [(32, 32, 4, body)])
    tiny = dib(16, 32, 32) + padded(np.full((16, 64), 255, np.uint8)) + padded(np.zeros((16, 2), np.uint8))
    icon("ico-largest.ico", [(16, 16, 32, tiny), (32, 32, 4, body), (16, 16, 32, tiny)])


def gif(name, screen, frame, palette=b"", own=b"", interlaced=False):
    """One frame (left, top, indices), its codes cleared after each pixel so that they keep their length."""
    left, top, index = frame
    height, width = index.shape
    order = list(range(height))
    if interlaced:
        order = [y for first, step in ((0, 8), (4, 8), (2, 4), (1, 2)) for y in range(first, height, step)]
    stream, bits = 0, 0
    for code in [4] + [code for y in order for pixel in index[y].tolist() for code in (pixel, 4)] + [5]:
        stream |= code << bits
        bits += 3
    data = stream.to_bytes((bits + 7) // 8, "little")
    blocks = b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255))
    flags = (0x81 if palette else 0), (0x81 if own else 0) | (0x40 if interlaced else 0)
    (HERE / name).write_bytes(
        b"GIF89a" + struct.pack("<HHBBB", *screen, flags[0], 0, 0) + palette + b","
        + struct.pack("<HHHHB", left, top, width, height, flags[1]) + own + b"\x02" + blocks + b"\0;")


def make_gifs():
    palette = bytes([255, 0, 0, 0, 128, 0, 0, 0, 255, 9, 99, 9])
    index = (np.add.outer(np.arange(19), 2 * np.arange(23)) // 3) % 4
    gif("gif-beyond.gif", (16, 12), (0, 0, index), palette)
    gif("gif-own-palette.gif", (23, 19), (0, 0, index), own=palette)
    gif("gif-no-palette.gif", (23, 19), (0, 0, index))
    gif("gif-interlaced.gif", (23, 19), (0, 0, index), palette, interlaced=True)


def make_qois():
    """A place of the index that nothing was put at, whose colour has no alpha, and colours that follow from it."""
    body = bytes([0xfe, 200, 30, 90, 7, 0x40 | 0b111111, 0xfe, 9, 99, 199, 15, 0xc0 | 1, 0x80 | 40, 0x5a, 0xc0 | 1])
    for name, channels in (("qoi-index.qoi", 3), ("qoi-index-alpha.qoi", 4)):
        head = b"qoif" + struct.pack(">IIBB", 5, 2, channels, 0)
        (HERE / name).write_bytes(head + body + b"\0" * 7 + b"\1")


def make_broken():
    """Tables with wrong bits: Pillow and browsers read on where our decoder gives up."""
    file = bytearray((HERE.parent / "photos/jpeg-progressive.jpg").read_bytes())
    for at, byte in ((198, 12), (239, 1), (298, 182)):
        file[at] = byte
    (HERE / "jpeg-broken.jpg").write_bytes(file)


def make_huge():
    """16.8 megapixels in few bytes: 64 stripes from black at the left to almost white at the right."""
    stripes = np.tile((np.arange(4096) // 64 * 4).astype(np.uint8), (4096, 1))
    save("jpeg-huge.jpg", Image.fromarray(stripes), quality=90, optimize=True)


def make_damaged():
    """What libjpeg warns of: a bit that is wrong, an end that comes early, zeros after the end."""
    odd = photo("coffee.png", (125, 83))
    for name, options in (("420", {}), ("restart", {"restart_marker_blocks": 3}), ("progressive", {"progressive": True})):
        stream = io.BytesIO()
        odd.save(stream, "JPEG", quality=85, **options)
        whole = stream.getvalue()
        (HERE / f"jpeg-{name}-zeros.jpg").write_bytes(whole + b"\0" * 50)
        if name != "progressive":  # where libjpeg smooths what is missing
            (HERE / f"jpeg-{name}-early.jpg").write_bytes(whole[: len(whole) * 6 // 10] + b"\xff\xd9")
        (HERE / f"jpeg-{name}-cut.jpg").write_bytes(whole[: len(whole) * 6 // 10])
        for i, part in enumerate((0.5, 0.6, 0.75)):
            damaged = bytearray(whole)
            damaged[int(len(whole) * part)] ^= 1 << (2 * i + 1)
            (HERE / f"jpeg-{name}-bit-{i}.jpg").write_bytes(damaged)


# What Pillow does not read, and a file with the same pixels that it does.
TWINS = {"tiff-ycbcr-42-plain.tif": "tiff-ycbcr-42.tif", "tiff-big-endian-big.tif": "tiff-big.tif"}


# Tested otherwise: what size it is read at, that libjpeg smooths what is missing, that a browser reads it.
WITHOUT = ("jpeg-huge.jpg", "jpeg-progressive-cut.jpg", "jpeg-broken.jpg")


def decoded(path):
    """The upright picture, transparent parts over white."""
    path = path.with_name(TWINS.get(path.name, path.name))
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def main():
    for old in HERE.iterdir():
        if old.suffix not in (".py", ".md", ".txt"):
            old.unlink()
    small = photo("rocket.jpg", (53, 39))
    make_palettes(small)
    make_greys(small)
    make_fax(small)
    make_jpegs(small)
    make_ycbcr(small)
    make_layouts(small)
    make_bmps(small)
    make_icons(small)
    make_gifs()
    make_qois()
    make_damaged()
    make_huge()
    make_broken()
    cases, pixels = [], []
    for path in sorted(HERE.iterdir()):
        if path.suffix in (".py", ".md", ".txt") or path.name in WITHOUT:
            continue
        # As viewers show it, grey below; without it, Pillow refuses the file, as we do.
        ImageFile.LOAD_TRUNCATED_IMAGES = path.stem.endswith("-cut") and path.suffix == ".jpg"
        try:
            image = decoded(path)
        except Exception as error:
            print(f"{path.name}: Pillow says: {error}")
            continue
        cases.append({"file": path.name, "image": image.size, "at": sum(map(len, pixels))})
        pixels.append(np.asarray(image).tobytes())
    joined = np.frombuffer(b"".join(pixels), np.uint8)
    container = np.zeros(-(-len(joined) // COLUMNS) * COLUMNS, np.uint8)
    container[: len(joined)] = joined
    save("expected.png", Image.fromarray(container.reshape(-1, COLUMNS)), optimize=True)
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    (HERE / "cases.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
