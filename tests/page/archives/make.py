"""Zips of photos, as Python's zipfile writes them.

    python make.py

Photos are those of ../../golden/photos, which Pillow made.
"""

import struct
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PHOTOS = HERE.parents[1] / "golden/photos"
DATE = (2026, 1, 1, 0, 0, 0)
JPEG, PNG, TIFF = [(PHOTOS / name).read_bytes() for name in ("jpeg-444.jpg", "png-rgb.png", "tiff-lzw.tif")]


def write(name, entries, comment=b""):
    with zipfile.ZipFile(HERE / name, "w") as archive:
        archive.comment = comment
        for path, data, method in entries:
            entry = zipfile.ZipInfo(path, DATE)
            entry.compress_type = method
            archive.writestr(entry, data, compresslevel=9)


def main():
    deflated, stored = zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED
    photos = [("trip/10.jpg", JPEG, deflated), ("trip/9.png", PNG, stored), ("trip/day 2/hà nội.tif", TIFF, deflated)]
    others = [("trip/notes.txt", b"words", deflated), ("__MACOSX/trip/._10.jpg", b"\0" * 99, stored),
              ("trip/.hidden.jpg", JPEG, stored)]
    write("photos.zip", photos + others, comment=b"a comment")
    # Something before the archive, as in one that unpacks itself.
    (HERE / "prefixed.zip").write_bytes(b"#!" + b"\n" * 500 + (HERE / "photos.zip").read_bytes())
    write("large.zip", [("zeros.bmp", b"\0" * 120_000_000, deflated)])
    # It says that it has 50 bytes, and has a million.
    write("liar.zip", [("zeros.bmp", b"\0" * 1_000_000, deflated), ("fine.png", PNG, stored)])
    lying = bytearray((HERE / "liar.zip").read_bytes())
    listed = lying.index(b"PK\1\2")
    lying[listed + 24:listed + 28] = struct.pack("<I", 50)
    (HERE / "liar.zip").write_bytes(lying)
    write("cut.zip", [("cut.jpg", JPEG[:1500], stored), ("fine.png", PNG, deflated)])
    write("encrypted.zip", [("secret.png", PNG, stored)])
    locked = bytearray((HERE / "encrypted.zip").read_bytes())
    locked[locked.index(b"PK\1\2") + 8] |= 1
    (HERE / "encrypted.zip").write_bytes(locked)


if __name__ == "__main__":
    main()
