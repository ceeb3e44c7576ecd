"""Slides as Philips, Leica, Ventana and Trestle scanners write them, made on the spot: OpenSlide accepts them as such."""

from __future__ import annotations

import base64
import io

import numpy as np
import tifffile
from PIL import Image

TILE = 128
LEICA_NAMESPACE = "http://www.leica-microsystems.com/scn/2010/10/01"


def halved(image, times=1):
    """Every second pixel, again and again."""
    return image[:: 2**times, :: 2**times]


def jpeg(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()


def write_page(file, image, *, tile=TILE, holes=(), **options):
    """A tiled page; `holes` are (column, row) of tiles that are not stored, the first excepted."""
    height, width = image.shape[:2]
    columns, rows = -(-width // tile), -(-height // tile)
    padded = np.pad(image, ((0, rows * tile - height), (0, columns * tile - width), (0, 0))[: image.ndim], mode="edge")

    def tiles():
        for row in range(rows):
            for column in range(columns):
                piece = padded[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile]
                yield None if (column, row) in holes else np.ascontiguousarray(piece)

    options = {"compression": "zlib", "photometric": "rgb", "metadata": None, **options}
    file.write(tiles(), shape=image.shape, dtype=np.uint8, tile=(tile, tile), **options)


def patch_tag(path, tag, value, *, count=False):
    """Write another value, or another count, into a tag of the first directory (classic little-endian TIFF)."""
    data = bytearray(path.read_bytes())
    directory = int.from_bytes(data[4:8], "little")
    entries = range(directory + 2, directory + 2 + 12 * int.from_bytes(data[directory : directory + 2], "little"), 12)
    entry = next(at for at in entries if int.from_bytes(data[at : at + 2], "little") == tag)
    if not count:
        # as one LONG
        data[entry + 2 : entry + 8] = (4).to_bytes(2, "little") + (1).to_bytes(4, "little")
    start = entry + (4 if count else 8)
    data[start : start + 4] = value.to_bytes(4, "little")
    path.write_bytes(data)


# Philips


def philips_xml(spacings, *, objective=40, label=None, slides=1):
    """The description: `spacings` are texts as in the file, finest first; `label` a JPEG."""
    levels = "".join(
        f'<DataObject ObjectType="PixelDataRepresentation"><Attribute Name="DICOM_PIXEL_SPACING" Group="0x0028" '
        f'Element="0x0030" PMSVR="IDoubleArray">{spacing}</Attribute></DataObject>'
        for spacing in spacings
    )
    slide = (
        '<DataObject ObjectType="DPScannedImage"><Attribute Name="PIM_DP_IMAGE_TYPE" PMSVR="IString">WSI</Attribute>'
        f'<Attribute Name="DICOM_PIXEL_SPACING" PMSVR="IDoubleArray">{spacings[0]}</Attribute>'
        '<Attribute Name="DICOM_DERIVATION_DESCRIPTION" PMSVR="IString">tiff-useBigTIFF=1-useRgb=0-'
        f"levels={objective},10002,10000,10001-processing=0</Attribute>"
        f'<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE" PMSVR="IDataObjectArray"><Array>{levels}</Array>'
        "</Attribute></DataObject>"
    )
    picture = (
        ""
        if label is None
        else '<DataObject ObjectType="DPScannedImage"><Attribute Name="PIM_DP_IMAGE_TYPE">LABELIMAGE</Attribute>'
        f'<Attribute Name="PIM_DP_IMAGE_DATA">{base64.b64encode(label).decode()}</Attribute></DataObject>'
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        '<Attribute Name="DICOM_MANUFACTURER" PMSVR="IString">Hamamatsu</Attribute>'
        '<Attribute Name="PIM_DP_UFS_BARCODE" PMSVR="IString">QUJDRA==</Attribute>'
        f'<Attribute Name="PIM_DP_SCANNED_IMAGES" PMSVR="IDataObjectArray"><Array>{slide * slides}{picture}</Array></Attribute>'
        "</DataObject>"
    )


def write_philips(path, image, *, levels=3, holes=(), macro=None, xml=None, label=None, deep=False, **options):
    """Levels of `image` padded to whole tiles; `deep` writes the wrong depths of DP v1.1."""
    mm = 0.25e-3
    spacings = [f"&quot;{mm * 2**i}&quot; &quot;{mm * 2**i}&quot;" for i in range(levels)]
    # tag 32997 is ImageDepth, 32998 TileDepth
    extra = {"extratags": [(32997, "I", 1, 0, True), (32998, "I", 1, 0, True)]} if deep else {}
    with tifffile.TiffWriter(path) as file:
        for index in range(levels):
            level = halved(image, index)
            height, width = (-(-side // TILE) * TILE for side in level.shape[:2])
            padded = np.pad(level, ((0, height - level.shape[0]), (0, width - level.shape[1]), (0, 0)), mode="edge")
            first = {"description": philips_xml(spacings, label=label) if xml is None else xml} if not index else {}
            write_page(
                file,
                padded,
                holes=holes,
                software="Philips DP v1.0" if not deep else "Philips DP v1.1",
                subfiletype=int(index > 0),
                **first,
                **extra,
                **options,
            )
        if macro is not None:
            file.write(macro, photometric="rgb", metadata=None, description="Macro", subfiletype=1)
    return path


# Leica


def leica_image(pages, sizes, offset, nm, *, objective=20, light="brightfield"):
    """One image of the collection: (width, height) of its levels, finest first; offset and size in nm."""
    dimensions = "".join(
        f'<dimension sizeX="{w}" sizeY="{h}" r="{i}" ifd="{page}"/>'
        for i, (page, (w, h)) in enumerate(zip(pages, sizes, strict=True))
    )
    # another focal plane, which nobody shows
    dimensions += f'<dimension sizeX="{sizes[0][0]}" sizeY="{sizes[0][1]}" r="0" z="1" ifd="{pages[0]}"/>'
    return (
        f'<image><creationDate>2012-03-04T05:06:07Z</creationDate><device model="Leica SCN400" version="1.4"/>'
        f'<pixels sizeX="{sizes[0][0]}" sizeY="{sizes[0][1]}">{dimensions}</pixels>'
        f'<view sizeX="{nm[0]}" sizeY="{nm[1]}" offsetX="{offset[0]}" offsetY="{offset[1]}" spacingZ="0"/>'
        f"<scanSettings><objectiveSettings><objective>{objective}</objective></objectiveSettings><illuminationSettings>"
        f"<numericalAperture>0.4</numericalAperture><illuminationSource>{light}</illuminationSource>"
        "</illuminationSettings></scanSettings></image>"
    )


def leica_xml(images, glass):
    return (
        f'<?xml version="1.0"?><scn xmlns="{LEICA_NAMESPACE}" uuid="urn:uuid:1">'
        f'<collection name="a" sizeX="{glass[0]}" sizeY="{glass[1]}"><barcode>QUJDRA==</barcode>{"".join(images)}'
        "</collection></scn>"
    )


def write_leica(
    path, regions, *, glass=(400_000, 300_000), nm=500, levels=2, xml=None, holes=(), lights=None, objectives=None, **options
):
    """Regions are (image, (x, y) offset in nm); page 0 is the macro image of the whole glass."""
    lights = lights or ["brightfield"] * len(regions)
    objectives = objectives or [20] * len(regions)
    images, pages = [], [np.full((150, 200, 3), 77, np.uint8)]
    images.append(leica_image([0], [(200, 150)], (0, 0), glass))
    for (image, offset), light, objective in zip(regions, lights, objectives, strict=True):
        numbers, sizes = [], []
        for index in range(levels):
            level = halved(image, 2 * index)
            numbers.append(len(pages))
            sizes.append(level.shape[1::-1])
            pages.append(level)
        size = image.shape[1] * nm, image.shape[0] * nm
        images.append(leica_image(numbers, sizes, offset, size, light=light, objective=objective))
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for index, page in enumerate(pages):
            first = {"description": leica_xml(images, glass) if xml is None else xml(images, glass)} if not index else {}
            resolution = {"resolution": (1e7 / nm, 1e7 / nm), "resolutionunit": "CENTIMETER"}
            write_page(file, page, holes=holes if index else (), **first, **resolution, **options)
    return path


# Ventana


def ventana_xml(areas, tile=TILE):
    """EncodeInfo; areas are dicts: first, count (columns, rows), place (x, y from the bottom), overlap (x, y), scanned."""
    infos = origins = ""
    for number, area in enumerate(areas):
        (columns, rows), (overlap_x, overlap_y) = area["count"], area["overlap"]
        joints = ""
        for row in range(rows):
            for column in range(columns):
                here = ventana_number(column, row, columns, rows)
                if column + 1 < columns:
                    right = ventana_number(column + 1, row, columns, rows)
                    joints += joint("RIGHT", here, right, overlap_x, 0)
                if row:
                    up = ventana_number(column, row - 1, columns, rows)
                    joints += joint("UP", here, up, 0, overlap_y)
        infos += (
            f'<ImageInfo AOIScanned="{area.get("scanned", 1)}" Width="{tile}" Height="{tile}" NumRows="{rows}" '
            f'NumCols="{columns}" Pos-X="{area["place"][0]}" Pos-Y="{area["place"][1]}">{joints}</ImageInfo>'
        )
        x, y = area["first"]
        origins += f'<AOI{number} OriginX="{x * tile}" OriginY="{y * tile}"/>'
    return f'<EncodeInfo Ver="2"><SlideStitchInfo>{infos}</SlideStitchInfo><AoiOrigin>{origins}</AoiOrigin></EncodeInfo>'


def joint(direction, tile1, tile2, x, y, confidence=98):
    return (
        f'<TileJointInfo FlagJoined="1" Confidence="{confidence}" Direction="{direction}" Tile1="{tile1}" Tile2="{tile2}" '
        f'OverlapX="{x}" OverlapY="{y}"/>'
    )


def ventana_number(column, row, columns, rows):
    """Number of a tile in the order of scanning: from 1, from the bottom up, every second row backwards."""
    from_below = rows - 1 - row
    return from_below * columns + (columns - 1 - column if from_below % 2 else column) + 1


SCAN = '<Metadata><iScan Magnification="20" ScanRes="0.465" ScanWhitePoint="235" UnitNumber="2000515"/></Metadata>'


def write_ventana(path, image, areas, *, levels=3, holes=(), scan=SCAN, xml=None, magnifications=None, **options):
    """`image` is the grid of stored tiles; areas None writes a Ventana TIFF, whose tiles do not overlap."""
    encoding = xml if xml is not None else None if areas is None else ventana_xml(areas)
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(
            np.full((90, 60, 3), 99, np.uint8),
            photometric="rgb",
            metadata=None,
            description="Label Image",
            extratags=[xmp(scan)],
        )
        for index in range(levels):
            extra = {"extratags": [xmp(encoding)]} if encoding and not index else {}
            description = f"level={index} mag={magnifications[index] if magnifications else 20 / 2**index:g} quality=90"
            level_holes = holes if not index else ()
            write_page(file, halved(image, index), description=description, holes=level_holes, **extra, **options)
    return path


def xmp(text):
    data = text.encode()
    return 700, "B", len(data), data, True


# Trestle


def write_trestle(path, images, overlaps, *, holes=(), description=None, **options):
    """Each image is a level of stored tiles."""
    numbers = " ".join(f"{x} {y}" for x, y in overlaps)
    text = f"Background Color=E6E6E6;White Balance=1;Objective Power=20;JPEG Quality=100;OverlapsXY= {numbers}"
    with tifffile.TiffWriter(path) as file:
        for index, image in enumerate(images):
            first = {"description": text if description is None else description} if not index else {}
            resolution = {"resolution": (0.5, 0.5), "resolutionunit": "INCH"}
            write_page(file, image, holes=holes, software="MedScan", **first, **resolution, **options)
    return path
