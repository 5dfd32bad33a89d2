"""tests/photos → small photos in every format this folder tests, and what Pillow and torchvision make of them."""

import base64
import io
import json
import struct
from pathlib import Path

import cv2
import numpy as np
import png
import tifffile
import torch
from PIL import Image, ImageOps
from torchvision import transforms
from torchvision.transforms import InterpolationMode

HERE = Path(__file__).resolve().parent
PHOTOS = HERE.parents[1] / "photos"
SEED = 20
COLUMNS = 1024
FILTERS = {"nearest": Image.Resampling.NEAREST, "box": Image.Resampling.BOX, "bilinear": Image.Resampling.BILINEAR,
           "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
ORIENTED = [None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_90, Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_270]


def photo(name, size):
    return Image.open(PHOTOS / name).convert("RGB").resize(size, Image.Resampling.LANCZOS)


def save(name, image, **options):
    image.save(HERE / name, **options)


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def make_jpegs():
    odd = photo("coffee.png", (125, 83))
    for sampling in ("4:4:4", "4:2:2", "4:2:0"):
        save(f"jpeg-{sampling.replace(':', '')}.jpg", odd, quality=90, subsampling=sampling)
    for name, factor in (("411", 0x411111), ("440", 0x121111)):
        options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor, cv2.IMWRITE_JPEG_QUALITY, 90]
        cv2.imwrite(str(HERE / f"jpeg-{name}.jpg"), np.asarray(odd)[:, :, ::-1], options)
    save("jpeg-progressive.jpg", odd, quality=85, progressive=True, subsampling="4:2:0")
    save("jpeg-progressive-444.jpg", odd, quality=85, progressive=True, subsampling="4:4:4")
    save("jpeg-restart.jpg", odd, quality=85, restart_marker_blocks=3, subsampling="4:2:0")
    save("jpeg-grey.jpg", odd.convert("L"), quality=90)
    save("jpeg-quality-10.jpg", odd, quality=10)
    save("jpeg-quality-100.jpg", odd, quality=100, subsampling="4:2:0")
    save("jpeg-rgb.jpg", odd, quality=90, keep_rgb=True)
    save("jpeg-icc.jpg", odd, quality=90, icc_profile=swapped_profile())
    save("jpeg-cmyk.jpg", odd.convert("CMYK"), quality=90)
    cmyk = bytearray((HERE / "jpeg-cmyk.jpg").read_bytes())
    cmyk[cmyk.index(b"Adobe") + 11] = 2  # the same numbers, read as YCCK
    (HERE / "jpeg-ycck.jpg").write_bytes(cmyk)
    upright = photo("chelsea.png", (60, 44))
    inverse = [0, 1, 2, 3, 4, 7, 6, 5]
    for orientation in range(1, 9):
        turn = ORIENTED[inverse[orientation - 1]]
        save(f"jpeg-orientation-{orientation}.jpg", upright.transpose(turn) if turn is not None else upright,
             quality=92, subsampling="4:4:4", exif=exif(orientation))
    save("jpeg-1x1.jpg", Image.new("RGB", (1, 1), (200, 30, 90)))
    save("jpeg-3x5.jpg", odd.resize((3, 5)))
    save("jpeg-9x2.jpg", odd.resize((9, 2)), subsampling="4:2:0")
    save("jpeg-wide.jpg", odd.resize((611, 5)), subsampling="4:2:0")
    save("jpeg-tall.jpg", odd.resize((6, 401)), subsampling="4:2:2")


def swapped_profile():
    """An sRGB profile whose red and green are exchanged: whoever applies it shows other colours."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def make_pngs(noise):
    small = photo("astronaut.png", (43, 61))
    alpha = Image.fromarray(np.tile(np.linspace(0, 255, 43).astype(np.uint8), (61, 1)))
    rgba = small.copy()
    rgba.putalpha(alpha)
    save("png-rgb.png", small)
    save("png-rgba.png", rgba)
    save("png-grey.png", small.convert("L"))
    save("png-grey-alpha.png", rgba.convert("LA"))
    save("png-1-bit.png", small.convert("1"))
    for bits in (2, 4, 8):
        save(f"png-palette-{bits}.png", small.quantize(2**bits), bits=bits)
    palette = small.quantize(16)
    save("png-palette-alpha.png", palette, transparency=bytes(range(0, 256, 16)))
    pixels = np.asarray(small)
    write_png("png-interlaced.png", pixels, greyscale=False, interlace=True)
    write_png("png-grey-4.png", pixels[:, :, :1] >> 4, greyscale=True, bitdepth=4)
    save("png-colour-key.png", small, transparency=tuple(int(v) for v in pixels[5, 5]))
    deep = (pixels.astype(np.uint16) << 8) + noise.integers(0, 256, pixels.shape, dtype=np.uint16)
    write_png("png-16.png", deep, greyscale=False, bitdepth=16)
    write_png("png-grey-16.png", deep[:, :, :1], greyscale=True, bitdepth=16)
    alpha_16 = noise.integers(0, 65536, pixels.shape[:2] + (1,), dtype=np.uint16)
    write_png("png-16-alpha.png", np.concatenate([deep, alpha_16], axis=2), greyscale=False, alpha=True, bitdepth=16)
    save("png-orientation-6.png", small.transpose(Image.Transpose.ROTATE_90), exif=exif(6))
    save("png-1x1.png", small.resize((1, 1)))
    save("png-tall.png", small.resize((31, 140)))
    save("png-200x1.png", small.resize((200, 1)))


def write_png(name, pixels, **options):
    height, width, _ = pixels.shape
    with open(HERE / name, "wb") as file:
        png.Writer(width, height, **options).write(file, pixels.reshape(height, -1).tolist())


def make_others():
    small = photo("rocket.jpg", (53, 39))
    alpha = Image.fromarray(np.tile(np.linspace(255, 0, 39).astype(np.uint8)[:, None], (1, 53)))
    rgba = small.copy()
    rgba.putalpha(alpha)
    second = ImageOps.invert(small)
    save("webp-lossy.webp", small, quality=80)
    save("webp-lossless.webp", small, lossless=True)
    save("webp-alpha.webp", rgba, quality=80)
    save("webp-lossless-alpha.webp", rgba, lossless=True, exact=True)
    save("webp-animated.webp", small, save_all=True, append_images=[second], duration=100, lossless=True)
    save("webp-orientation-8.webp", small.transpose(Image.Transpose.ROTATE_270), lossless=True, exif=exif(8))
    save("gif.gif", small)
    save("gif-animated.gif", small, save_all=True, append_images=[second], duration=100, loop=0)
    (HERE / "gif-offset.gif").write_bytes(offset_gif())
    save("bmp-24.bmp", small)
    save("bmp-8.bmp", small.quantize(64))
    save("bmp-1.bmp", small.convert("1"))
    save("tiff-lzw.tif", small, compression="tiff_lzw")
    save("tiff-deflate.tif", small, compression="tiff_adobe_deflate")
    save("tiff-packbits.tif", small.convert("L"), compression="packbits")
    save("tiff-orientation-3.tif", small.transpose(Image.Transpose.ROTATE_180), tiffinfo={274: 3})
    save("tiff-rgba.tif", rgba)
    save("tiff-cmyk.tif", small.convert("CMYK"))
    save("ico.ico", small.resize((32, 32)).convert("RGBA"), sizes=[(16, 16), (32, 32)])
    (HERE / "qoi.qoi").write_bytes(qoi(np.asarray(rgba)))


def make_tiffs(noise):
    """Tiles, planes, alpha of both kinds, bits in the other order: each as libtiff or tifffile writes it."""
    small = photo("rocket.jpg", (53, 39))
    pixels, grey = np.asarray(small), np.asarray(small.convert("L"))
    deep = (pixels.astype(np.uint16) << 8) + noise.integers(0, 256, pixels.shape, dtype=np.uint16)
    alpha = np.tile(np.linspace(255, 0, 39).round().astype(np.uint8)[:, None, None], (1, 53, 1))
    deep_alpha = alpha.astype(np.uint16) * 257
    premultiplied = np.concatenate([(pixels * (alpha / 255)).round().astype(np.uint8), alpha], axis=2)
    deep_premultiplied = np.concatenate([(deep * (deep_alpha / 65535)).round().astype(np.uint16), deep_alpha], axis=2)
    lzw = {"compression": "lzw", "predictor": True}
    write_tiff("tiff-tiled.tif", pixels, tile=(16, 16), **lzw)
    write_tiff("tiff-planar.tif", pixels, planar=True, rowsperstrip=7, **lzw)
    write_tiff("tiff-tiled-planar.tif", pixels, planar=True, tile=(16, 32), **lzw)
    write_tiff("tiff-tiled-planar-16.tif", deep, planar=True, tile=(32, 16), compression="deflate", byteorder=">")
    write_tiff("tiff-tiled-planar-rgba.tif", np.concatenate([pixels, alpha], axis=2), planar=True, tile=(64, 64),
               extrasamples=["unassalpha"])
    write_tiff("tiff-associated.tif", premultiplied, extrasamples=["assocalpha"])
    write_tiff("tiff-associated-second.tif", np.insert(premultiplied, 3, 77, axis=2), **lzw,
               extrasamples=["unspecified", "assocalpha"])
    write_tiff("tiff-associated-planar.tif", premultiplied, planar=True, extrasamples=["assocalpha"])
    write_tiff("tiff-associated-16.tif", deep_premultiplied, extrasamples=["assocalpha"], byteorder=">")
    write_tiff("tiff-associated-tiled-planar-16.tif", deep_premultiplied, planar=True, tile=(16, 16),
               extrasamples=["assocalpha"], **lzw)
    write_tiff("tiff-associated-float.tif", (deep_premultiplied / 65535).astype(np.float32),
               extrasamples=["assocalpha"], compression="deflate", predictor=True)
    write_tiff("tiff-associated-grey.tif", premultiplied[:, :, [1, 3]], extrasamples=["assocalpha"])
    write_tiff("tiff-grey-alpha.tif", np.dstack([grey, alpha]), extrasamples=["unassalpha"])
    write_tiff("tiff-further-channel.tif", np.dstack([pixels, noise.integers(0, 256, grey.shape, dtype=np.uint8)]),
               extrasamples=["unspecified"], **lzw)
    write_tiff("tiff-white-is-zero.tif", 255 - grey, photometric="miniswhite")
    ink = np.dstack([noise.integers(0, 256, pixels.shape, dtype=np.uint8), grey])
    write_tiff("tiff-cmyk-planar.tif", ink, photometric="separated", planar=True, tile=(16, 16))
    for name, image, compression in (("1-bit", small.convert("1"), "raw"), ("grey", small.convert("L"), "raw"),
                                     ("lzw", small, "tiff_lzw"), ("deflate", small, "tiff_adobe_deflate"),
                                     ("packbits", small, "packbits"), ("group-4", small.convert("1"), "group4"),
                                     # One grey, so that all decoders of JPEG give the same.
                                     ("jpeg", Image.new("L", small.size, 200), "tiff_jpeg")):
        name = f"tiff-low-bit-first-{name}.tif"
        save(name, image, compression=compression, tiffinfo={266: 2})
        if compression == "raw":  # Pillow writes the tag alone
            turn_bits(HERE / name)
    name = "tiff-low-bit-first-tiled-planar.tif"
    write_tiff(name, pixels, planar=True, tile=(16, 16), compression="deflate", extratags=[(65000, 3, 1, 2, False)])
    file = (HERE / name).read_bytes()  # tifffile does not write this tag under its own number
    (HERE / name).write_bytes(file.replace(struct.pack("<HHI", 65000, 3, 1), struct.pack("<HHI", 266, 3, 1)))
    turn_bits(HERE / name)


def write_tiff(name, samples, planar=False, photometric=None, **options):
    photometric = photometric or ("minisblack" if samples.ndim == 2 or samples.shape[2] == 2 else "rgb")
    if planar:
        samples = np.ascontiguousarray(np.moveaxis(samples, 2, 0))
    config = {} if samples.ndim == 2 else {"planarconfig": "separate" if planar else "contig"}
    tifffile.imwrite(HERE / name, samples, photometric=photometric, metadata=None, software=False, **config, **options)


def turn_bits(path):
    """What FillOrder 2 says: the lowest bit of each byte of the strips or tiles comes first."""
    file = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        pieces = list(zip(tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts))
    for start, length in pieces:
        file[start : start + length] = bytes(int(f"{byte:08b}"[::-1], 2) for byte in file[start : start + length])
    path.write_bytes(file)


def make_foreign():
    """What only a browser reads; the library's tests in browsers classify it."""
    coffee = photo("coffee.png", (300, 200))
    save("foreign/avif.avif", coffee, quality=80, subsampling="4:4:4")
    jpeg = io.BytesIO()
    coffee.save(jpeg, "JPEG", quality=80)
    (HERE / "foreign/svg.svg").write_text(
        '<?xml version="1.0"?>\n<!-- a drawing -->\n<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200">'
        f'<image width="300" height="200" href="data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"/></svg>\n')


def offset_gif():
    """A frame smaller than its canvas, with a transparent colour: the rest shows the page's white."""
    width, height, left, top = 6, 4, 8, 5
    palette = bytes([255, 0, 0, 0, 128, 0, 0, 0, 255, 9, 9, 9])
    pixels = [(x + y) % 4 for y in range(height) for x in range(width)]
    stream, bits = 0, 0
    for code in [4] + [c for pixel in pixels for c in (pixel, 4)] + [5]:  # cleared after each pixel: codes keep 3 bits
        stream |= code << bits
        bits += 3
    data = stream.to_bytes((bits + 7) // 8, "little")
    return (b"GIF89a" + struct.pack("<HHBBB", 20, 15, 0x81, 0, 0) + palette
            + b"\x21\xf9\x04\x01\0\0\x03\0" + b"," + struct.pack("<HHHHB", left, top, width, height, 0)
            + b"\x02" + bytes([len(data)]) + data + b"\0;")


def qoi(pixels):
    """Every pixel written out in full."""
    height, width, _ = pixels.shape
    body = b"".join(b"\xff" + bytes(pixel) for row in pixels for pixel in row)
    return b"qoif" + struct.pack(">IIBB", width, height, 4, 0) + body + b"\0" * 7 + b"\1"


def decoded(path):
    """The upright photo, alpha over white, 16 bits rounded to 8."""
    if "-16" in path.name and path.suffix == ".png":
        deep = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.int64)
        deep = np.repeat(deep[:, :, None], 3, axis=2) if deep.ndim == 2 else deep
        eight = ((deep * 255 + 32767) // 65535).astype(np.uint8)
        order = [2, 1, 0] + ([3] if eight.shape[2] == 4 else [])
        image = Image.fromarray(np.ascontiguousarray(eight[:, :, order]))
    elif path.suffix == ".tif" and any(part in path.name for part in ("associated", "-16", "grey-alpha")):
        return from_samples(path)
    else:
        image = ImageOps.exif_transpose(Image.open(path))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def from_samples(path):
    """As `decoded`, from the samples in the file: Pillow cuts 16 bits off, and divides by an associated alpha."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        samples, extra = page.asarray(), [int(kind) for kind in page.extrasamples]
        if page.planarconfig == 2:
            samples = np.moveaxis(samples, 0, 2)
    if samples.dtype == np.float32:
        samples, most = samples.astype(np.float64), 1
    else:
        samples, most = samples.astype(np.int64), np.iinfo(samples.dtype).max
    colours = samples[:, :, : samples.shape[2] - len(extra)]
    eight = lambda values: (np.clip(values, 0, most) * 255 / most + 0.5).astype(np.int64)
    if 1 in extra:
        alpha = samples[:, :, [colours.shape[2] + extra.index(1)]]
        levels = eight(colours + most - alpha)
    elif 2 in extra:
        alpha = eight(samples[:, :, [colours.shape[2] + extra.index(2)]])
        levels = (eight(colours) * alpha + 255 * (255 - alpha) + 127) // 255
    else:
        levels = eight(colours)
    image = Image.fromarray(np.broadcast_to(levels, levels.shape[:2] + (3,)).astype(np.uint8))
    check_with_pillow(path, image)
    return image


def check_with_pillow(path, image):
    """Where Pillow reads the file at all, it gives the same but for what it rounds."""
    try:
        theirs = Image.open(path)
        theirs = np.asarray(Image.alpha_composite(Image.new("RGBA", theirs.size, "white"), theirs.convert("RGBA")).convert("RGB"))
    except Exception as error:  # of several kinds
        return print(f"{path.name}: Pillow says: {error}")
    worst = np.abs(theirs.astype(int) - np.asarray(image)).max()
    print(f"{path.name}: {worst} levels from Pillow")
    assert worst <= 2, path.name


def region(image, resized, window):
    """Left, upper edge, width, height in pixels of the photo."""
    across, down = image.width / resized[0], image.height / resized[1]
    left, top, width, height = window
    return [left * across, top * down, width * across, height * down]


def offset(image, crop):
    """Where torchvision's CenterCrop starts in a side of length `image`; negative where it pads."""
    return -((crop - image) // 2) if crop > image else int(round((image - crop) / 2.0))


def preprocessed(image, case):
    """Values of the tensor before normalisation, rows × columns × channels, and the region they cover."""
    width, height, mode = case["width"], case["height"], case["mode"]
    filter, channels = FILTERS[case["filter"]], case["channels"]
    if mode == "exact":
        out = image.resize((width, height), filter)
        covered = [0, 0, image.width, image.height]
    elif mode == "shorter-side":
        resized = transforms.Resize(case["size"], InterpolationMode(case["filter"]))(image)
        out = transforms.CenterCrop((height, width))(resized)
        window = [offset(resized.width, width), offset(resized.height, height), width, height]
        covered = region(image, resized.size, window)
    else:
        inside = ImageOps.contain(image, (width, height), filter)
        out = ImageOps.pad(image, (width, height), filter)
        window = [-round((width - inside.width) * 0.5), -round((height - inside.height) * 0.5), width, height]
        covered = region(image, inside.size, window)
    if channels == "grey":
        out = out.convert("L")
    pixels = np.atleast_3d(np.asarray(out))
    check_tensor(out, pixels)
    return pixels[:, :, ::-1] if channels == "bgr" else pixels, covered


def check_tensor(image, pixels):
    """torchvision's own tensor is value / 255 normalised, as the tests compute it from `pixels`."""
    count = pixels.shape[2]
    normalize = transforms.Normalize([0.485, 0.456, 0.406][:count], [0.229, 0.224, 0.225][:count])
    theirs = normalize(transforms.ToTensor()(image)).permute(1, 2, 0)
    ours = (pixels / 255 - [0.485, 0.456, 0.406][:count]) / [0.229, 0.224, 0.225][:count]
    assert torch.allclose(theirs, torch.from_numpy(ours).float(), atol=1e-5)


def case(mode, filter, width, height, size=None, channels="rgb", layout="nchw"):
    return {"mode": mode, "filter": filter, "width": width, "height": height, "size": size, "channels": channels,
            "layout": layout}


# Odd sizes, both directions, upscaling, extreme shapes: what resizing must be tried on.
SHAPES = ["jpeg-444.jpg", "png-rgb.png", "jpeg-orientation-6.jpg", "jpeg-1x1.jpg", "jpeg-3x5.jpg", "jpeg-wide.jpg",
          "jpeg-tall.jpg", "png-tall.png", "png-200x1.png", "png-palette-8.png"]


def cases(path, image):
    yield case("exact", "nearest", image.width, image.height)
    yield case("shorter-side", "bicubic", 28, 28, size=32)
    if path.name in SHAPES:
        for filter in FILTERS:
            yield case("shorter-side", filter, 23, 23, size=29)
            yield case("exact", filter, 33, 24)
            yield case("fit", filter, 27, 32)
        yield case("shorter-side", "bilinear", 32, 31, size=19)
        yield case("shorter-side", "bilinear", 30, 24, size=24, channels="grey")
        yield case("fit", "bicubic", 32, 25, channels="bgr", layout="nhwc")
        yield case("exact", "lanczos", 90, 70, channels="bgr")
        yield case("exact", "bicubic", 3, 2)


def main():
    for old in HERE.iterdir():
        if old.is_file() and old.name not in ("make.py", "README.md", "requirements.txt"):
            old.unlink()
    make_jpegs()
    make_pngs(np.random.default_rng(SEED))
    make_others()
    make_tiffs(np.random.default_rng(SEED + 1))
    make_foreign()
    blob, rows = io.BytesIO(), []
    for path in sorted(p for p in HERE.iterdir() if p.is_file() and p.suffix not in (".py", ".md", ".txt", ".json")):
        image = decoded(path)
        for row in cases(path, image):
            if row["mode"] == "fit" and 0 in ImageOps.contain(image, (row["width"], row["height"])).size:
                continue  # Pillow's answer is an empty picture
            pixels, covered = preprocessed(image, row)
            at = blob.tell()
            blob.write(np.ascontiguousarray(pixels).tobytes())
            rows.append({"file": path.name, "image": [image.width, image.height], **row, "region": covered, "at": at})
    expected = np.frombuffer(blob.getvalue(), np.uint8)
    expected = np.pad(expected, (0, -expected.size % COLUMNS)).reshape(-1, COLUMNS)
    Image.fromarray(expected).save(HERE / "expected.png", optimize=True)
    lines = ",\n".join(json.dumps(row) for row in rows)
    (HERE / "cases.json").write_text(f"[\n{lines}\n]\n")
    print(len({row["file"] for row in rows}), "files,", len(rows), "cases,", blob.tell(), "bytes expected")


if __name__ == "__main__":
    main()
